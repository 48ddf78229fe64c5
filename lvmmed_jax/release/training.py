"""What a work folder tells about an encoder's training: counts and scores, no names."""

import collections
import json
import pathlib
from typing import Any

from lvmmed_jax.report import runs

_LEAKAGE_FILE = (
    "leakage.json"  # of a work folder: `leakage ... --json > W/leakage.json`
)
_SHOWN = ("task", "target", "class", "metric", "num_train", "num_test")
_SIDES = ("random", "pretrained", "difference")


def of_encoder(path: pathlib.Path, about: dict[str, Any]) -> dict[str, Any] | None:
    """As `of_workdir`, of a work folder or one of its checkpoints.

    Args:
      path: that was exported.
      about: what `encoders.export` says of it.
    """
    step = about["source"]["file"].removeprefix("step ")
    path = path.absolute()
    return of_workdir(path.parents[1] if path.name == step else path, int(step))


def of_workdir(workdir: pathlib.Path, step: int) -> dict[str, Any] | None:
    """What a work folder says about its encoder after some step.

    Args:
      workdir: of `pretrain`.
      step: of the encoder's checkpoint.

    Returns:
      `step`, `images` seen, `data` (records, `counts` by source and modality),
      `devices`, `versions`, `evaluation` (rows of evaluation.json; none where it is of
      another step), `leakage`; None where the folder has no metrics.

    Raises:
      ValueError: a file in it is damaged.
    """
    if not (workdir / "metrics.jsonl").is_file():
        return None
    (run,) = runs.read([workdir])
    leakage = workdir / _LEAKAGE_FILE
    data = run.about.get("data") or {}
    return {
        "step": step,
        "images": _images(run.metrics, step),
        "data": {
            key: data[key]
            for key in ("records", "counts", "modalities", "skipped")
            if key in data
        },
        "devices": run.about.get("devices"),
        "versions": run.about.get("versions") or {},
        "evaluation": _rows(run.evaluation, step),
        "leakage": read_leakage(leakage) if leakage.is_file() else None,
    }


def read_leakage(path: pathlib.Path) -> dict[str, Any]:
    """The counts of what `leakage --json` printed; its names of files stay there.

    Raises:
      ValueError: it is something else.
      OSError: it cannot be read.
    """
    try:
        found = json.loads(path.read_text())
        kinds = collections.Counter(str(leak["kind"]) for leak in found["leaks"])
        counts = {key: int(found[key]) for key in ("files", "unread", "leaked")}
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{path} is not what `leakage TEST --against SHARDS --json` prints"
        ) from None
    return {**counts, "kinds": dict(sorted(kinds.items()))}


def _images(metrics: tuple[dict[str, Any], ...], step: int) -> int | None:
    """Images seen up to a step; steps are alike, and not each of them is logged."""
    for line in reversed(metrics):
        if line["step"] and isinstance(line.get("images"), int | float):
            return round(line["images"] * step / line["step"])
    return None


def _rows(evaluation: dict[str, Any] | None, step: int) -> list[dict[str, Any]]:
    if not evaluation or evaluation.get("step") != step:
        return []
    return [
        {
            "data": pathlib.PurePath(str(row.get("data") or "")).name,
            **{key: row.get(key) for key in _SHOWN},
            **{side: row[side] for side in _SIDES},
        }
        for row in evaluation.get("results", [])
    ]
