"""The model card of an encoder: what its file says about it, for people to read."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from lvmmed_jax import __version__, files

_SETTINGS = {  # of a run's config: section, field -> how the card calls it
    ("train", "method"): "method",
    ("data", "global_batch"): "images a step",
    ("views", "size"): "size of the views, pixels",
    ("optimizer", "name"): "optimiser",
    ("optimizer", "learning_rate"): "learning rate",
    ("train", "seed"): "seed",
}
_TOLD = {
    "default": "no file said so: ImageNet's are assumed",
    "user": "as the user said",
    "run": "as it was trained",
}
_PAPER = "https://arxiv.org/abs/2306.11925"


def path_of(out: pathlib.Path) -> pathlib.Path:
    """Where the card of an exported file stands."""
    return out.with_name(f"{out.name}.md")


def write(path: pathlib.Path, text: str) -> None:
    """Writes a card, all or nothing."""
    with files.replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def make(
    about: Mapping[str, Any],
    *,
    num_parameters: int,
    digests: Mapping[str, str],
    usage: Sequence[str] = (),
    head: Mapping[str, str] | None = None,
    leakage: Mapping[str, Any] | None = None,
) -> str:
    """The card as Markdown; the same arguments give the same text.

    No path of the machine is in it, and no name of an image, a study or a patient: of
    the data there are counts, by the names that sources were prepared under.

    Args:
      about: metadata of an exported encoder, see `weights.exported`.
      num_parameters: of the encoder.
      digests: name of a file beside the card -> its SHA-256.
      usage: lines of Python that load it.
      head: what model hubs want to know, between lines of dashes.
      leakage: counts of `training.read_leakage`; None: those that `about` has.
    """
    trained = about.get("training")
    leakage = leakage or (trained or {}).get("leakage")
    parts = [
        _head(head),
        f"# {_escaped(about['encoder']['encoder'])}, an image encoder\n",
        _summary(about, num_parameters),
        _section("How to load it", _code(usage)) if usage else "",
        _section("Input", _input(about["input"])),
        _section("Origin", _origin(about["source"])),
        _section("Training", _training(about.get("run"), trained)),
        _section("Data", _data(trained)),
        _section("Evaluation", _evaluation(trained)),
        _section("Leakage", _leakage(leakage)),
        _section("Licence", _licence(about["licence"])),
        _section("Files", _table(("file", "SHA-256"), list(digests.items()))),
        f"Written by lvmmed_jax {__version__}.\n",
    ]
    return "\n".join(filter(None, parts))


def _head(head: Mapping[str, str] | None) -> str:
    if not head:
        return ""
    lines = [f"{name}: {value}" for name, value in head.items()]
    return "\n".join(["---", *lines, "---", ""])


def _summary(about: Mapping[str, Any], num_parameters: int) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in about["encoder"].items())
    return (
        f"{_escaped(settings)}: {num_parameters:,} parameters, images to feature maps. "
        "It is for research: not a medical device, and not validated for any "
        "diagnosis.\n"
    )


def _input(given: Mapping[str, Any]) -> str:
    told = _TOLD.get(given["told_by"], f"as {given['told_by']} beside the weights says")
    rows = [
        ("channels", given["channels"]),
        ("values before normalisation", "0 to 1"),
        ("mean", _numbers(given["mean"])),
        ("standard deviation", _numbers(given["std"])),
        ("told by", told),
        ("image size, pixels", given["size"]),
    ]
    return _table(("", "value"), rows)


def _origin(source: Mapping[str, Any]) -> str:
    rows = []
    while source:
        rows.append([source.get(name, "") for name in ("file", "layout", "sha256")])
        source = source.get("origin")
    return _table(("made of", "layout", "SHA-256"), rows)


def _training(run: Mapping[str, Any] | None, trained: Mapping[str, Any] | None) -> str:
    rows = [
        (name, run[section][field])
        for (section, field), name in _SETTINGS.items()
        if run and field in run.get(section, {})
    ]
    if trained:
        rows += [
            ("steps", _count(trained["step"])),
            ("images seen", _count(trained["images"])),
            ("devices", trained["devices"] or "not recorded"),
            *sorted(trained["versions"].items()),
        ]
    if not rows:
        return "Not by lvmmed_jax; the file says nothing about it.\n"
    matching = run and run.get("train", {}).get("method") == "graph_matching"
    note = f"\nGraph matching: [Nguyen et al., NeurIPS 2023]({_PAPER}).\n"
    return _table(("", "value"), rows) + (note if matching else "")


def _data(trained: Mapping[str, Any] | None) -> str:
    data = (trained or {}).get("data") or {}
    counts = data.get("counts") or {
        "all": data.get("modalities") or {},
    }
    rows = [
        (source, modality, _count(number))
        for source, by_modality in sorted(counts.items())
        for modality, number in sorted(by_modality.items())
    ]
    if not rows:
        return "Not recorded.\n"
    if "records" in data:
        rows.append(("together", "", _count(data["records"])))
    skipped = data.get("skipped")
    note = f"\nFiles that were skipped: {_count(skipped)}.\n" if skipped else ""
    return _table(("source", "modality", "images"), rows) + note


def _evaluation(trained: Mapping[str, Any] | None) -> str:
    rows = [_scores(row) for row in (trained or {}).get("evaluation") or []]
    if not rows:
        return "None was recorded for these weights.\n"
    header = ("data", "measure", "random start", "this encoder", "difference")
    table = _table((*header, "train / test"), rows)
    note = (
        "\nFrozen encoder; 95 % bootstrap intervals over test images, which leave out "
        "what another training seed would change.\n"
    )
    return table + note


def _scores(row: Mapping[str, Any]) -> tuple[str, ...]:
    task = " ".join(filter(None, (row["task"], row["target"], row["class"])))
    sides = (row[side] for side in ("random", "pretrained", "difference"))
    return (
        row["data"] or "not recorded",
        f"{task}, {row['metric']}",
        *("{value:.3f} [{low:.3f}, {high:.3f}]".format(**side) for side in sides),
        f"{row['num_train']} / {row['num_test']}",
    )


def _leakage(found: Mapping[str, Any] | None) -> str:
    if not found:
        return (
            "Not checked: whether test images were among the training images is "
            "unknown.\n"
        )
    kinds = ", ".join(f"{name} {count}" for name, count in found["kinds"].items())
    kinds = f" (matches by kind: {_escaped(kinds)})" if kinds else ""
    return (
        f"{_count(found['leaked'])} of {_count(found['files'])} test files were among "
        f"the training images{kinds}; {_count(found['unread'])} could not be "
        "compared.\n"
    )


def _licence(licence: Mapping[str, str] | None) -> str:
    if not licence:
        return (
            "None is recorded for these weights. Whoever hands them on says under "
            "which terms, and looks at the terms of the training images.\n"
        )
    return f"**{_escaped(licence['name'])}**\n\n{licence['notice']}\n"


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _code(lines: Sequence[str]) -> str:
    return "\n".join(["```python", *lines, "```", ""])


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(
        f"| {' | '.join(_escaped(str(cell)) for cell in row)} |\n" for row in lines
    )


def _escaped(text: str) -> str:
    """Text that begins no cell, tag or line of its own."""
    text = " ".join(text.split())
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def _count(number: int | None) -> str:
    return "not recorded" if number is None else f"{number:,}"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
