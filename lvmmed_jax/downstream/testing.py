"""`evaluate` of fine-tuned networks: tests, compares, writes, and tells in a table."""

import pathlib
import time
from collections.abc import Sequence
from typing import Any

from data_pipelines import leakage
from lvmmed_jax import files
from lvmmed_jax.downstream import comparison, examples, trained

FILE = "scores.json"
PICTURES = "cases.npz"  # in pictures/


def run(
    models: Sequence[str],
    data: str,
    options: comparison.Options,
    *,
    baseline: Sequence[str] = (),
    against: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Tests networks; writes scores.json and pictures into their work folders.

    Those are of the test part and by the project's own definitions; what is measured
    otherwise (another part, the paper's protocol, external data) is returned alone.

    Args:
      models: runs of one setting, of several seeds.
      data: that they were trained on.
      options: how.
      baseline: runs of what they are compared with.
      against: shards among whose images those tested on are looked for.

    Returns:
      JSON values: `results`, see `comparison.rows`, and what they are of.
    """
    began = time.monotonic()
    known = leakage.read_shards(against, options.salt_file) if against else None
    found = examples.read(data)
    tested = comparison.test([*models, *baseline], found, options)
    ours, theirs = tested[: len(models)], tested[len(models) :]
    leaked = comparison.leaks(ours[0], options.part, known)
    measured = options.part, options.protocol, options.external
    is_kept = measured == ("test", "own", False)
    about = {
        "data": data,
        "part": options.part,
        "protocol": options.protocol,
        "flips": options.flips,
        "external": options.external,
        "against": None if against is None else str(against),
    }
    for model, each in zip(models, ours, strict=True):
        own = {
            "models": [model],
            "baseline": [],
            "steps": [each.network.step],
            **about,
            "results": comparison.rows([each], (), options, leaked),
        }
        if not is_kept:
            continue
        workdir = trained.work_folder(model)
        overlays = workdir / "pictures" / PICTURES
        overlays.unlink(missing_ok=True)
        files.write_json(workdir / FILE, own)
        files.write_arrays(overlays, comparison.pictures(each, options.part))
    if len(models) > 1 or baseline:
        own = {
            "models": list(models),
            "baseline": list(baseline),
            "steps": [each.network.step for each in ours],
            **about,
            "results": comparison.rows(ours, theirs, options, leaked),
        }
    return {**own, "seconds": round(time.monotonic() - began, 1)}


def table(result: dict[str, Any]) -> str:
    """The scores as text, a line a metric; what is undefined or absent is said."""
    rows = result["results"]
    first, count = rows[0], len(result["models"])
    lines = [_head(result, first, count)]
    names = [_name(row) for row in rows]
    width = max(map(len, names))
    for name, row in zip(names, rows, strict=True):
        words = [f"{name:<{width}}  {_interval(row)}"]
        if row["std"] is not None:
            words.append(f"± {row['std']:.3f} over {count} seeds")
        if "difference" in row:
            words += _beside(row)
        if row["undefined"]:
            words.append(f"undefined for {row['undefined']} images, left out")
        for what in ("absent", "unmeasured"):
            if row[what]:
                words.append(f"{what}: {', '.join(row[what])}")
        lines.append("  ".join(words))
    lines.append(leakage_words(first["leakage"]))
    if first["in_training"] is None:
        lines.append("not compared with the images that were fine-tuned on")
    elif first["in_training"]:
        lines.append(
            f"the split that the data brings cuts groups: {first['in_training']} of "
            f"{first['num_test']} images have a near copy, or one of their patient, "
            "in another part"
        )
    return "\n".join(lines)


def _beside(row: dict[str, Any]) -> list[str]:
    """The baseline's value and the difference."""
    other, words = row["baseline"], []
    spread = "" if other["std"] is None else f" ± {other['std']:.3f}"
    words.append(f"baseline {_interval(other)}{spread}")
    if other["undefined"]:
        words.append(f"(undefined for {other['undefined']} images)")
    words.append(f"difference {_interval(row['difference'], '+')}")
    if row["difference"]["undefined"]:
        words.append(f"(without {row['difference']['undefined']} images)")
    return words


def leakage_words(found: dict[str, Any] | None) -> str:
    """What stands beside a score."""
    if found is None:
        return "leakage: not looked for (--against SHARDS)"
    words = f"leakage: {found['leaked']} of {found['tested']} test images"
    if found["compared"] < found["tested"]:
        words += f", {found['tested'] - found['compared']} too small to compare"
    return words


def _head(result: dict[str, Any], row: dict[str, Any], count: int) -> str:
    train = sorted(set(row["num_train"]))
    trained_on = f"{train[0]}" if len(train) == 1 else f"{train[0]} to {train[-1]}"
    size = "images at their own size"
    if result["protocol"] == "official":
        size = "the paper's protocol: masks at the network's size, one foreground"
    part = "external data" if result["external"] else f"{result['part']} part"
    masks = f", {size}" if row["task"] == "segmentation" else ""
    flips = ", mean over flips" if result["flips"] else ""
    baseline = f"; baseline: {', '.join(result['baseline'])}"
    baseline = baseline if result["baseline"] else ""
    runs = f"{count} runs" if count > 1 else f"step {result['steps'][0]}"
    return (
        f"{row['task']}, {part}: {row['num_test']} images in "
        f"{row['num_groups']} groups, {trained_on} trained on, {runs}{masks}{flips}; "
        f"95 % intervals over groups{baseline}"
    )


def _name(row: dict[str, Any]) -> str:
    unit = f" ({row['unit']})" if row["unit"] else ""
    of_class = f" {row['class']}" if row["class"] else ""
    return f"{row['metric']}{unit}{of_class}"


def _interval(found: dict[str, Any], sign: str = "") -> str:
    if found["value"] is None:
        return "undefined"
    if found["low"] is None:
        return f"{found['value']:{sign}.3f} [undefined]"
    return "{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]".format(
        sign=sign, **{name: found[name] for name in ("value", "low", "high")}
    )
