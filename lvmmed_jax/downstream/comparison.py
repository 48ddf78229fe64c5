"""Fine-tuned networks on test images: scores over seeds, beside a baseline's."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import leakage
from data_pipelines.labels import survey
from lvmmed_jax import finetune_config, progress
from lvmmed_jax.downstream import (
    cases,
    examples,
    intervals,
    predictions,
    scores,
    trained,
)

PROTOCOLS = ("own", "official")


class Options(NamedTuple):
    """How networks are tested.

    Attributes:
      task: classification or segmentation.
      part: "test", or "val" for choosing settings.
      protocol: "own"; "official": what the paper's code measures, masks at the
        network's size.
      flips: see `predictions.make`.
      seed: of the bootstrap.
      splits_file: of all runs; None: each work folder's own.
      salt_file: keys its hashes.
      external: all of the data is tested on, which no run was trained on.
    """

    task: str
    part: str = "test"
    protocol: str = "own"
    flips: bool = False
    seed: int = 0
    splits_file: pathlib.Path | None = None
    salt_file: pathlib.Path | None = None
    external: bool = False


class Tested(NamedTuple):
    """One network's predictions.

    Attributes:
      network: what predicted.
      data: the examples as its run has them.
      found: predictions of the part.
    """

    network: trained.Trained
    data: examples.Examples
    found: scores.Found


def test(models: Sequence[str], found: survey.Survey, options: Options) -> list[Tested]:
    """Predictions of all networks, on the same images.

    Args:
      models: see `trained.load`.
      found: all examples, of `examples.read`.
      options: how.

    Raises:
      FileNotFoundError: there is no such network.
      ValueError: a network of another task, of other data, or tested on other images.
    """
    examples.check_task(found, options.task)
    tested = []
    for model in models:
        tested.append(_test(model, found, options))
        first, last = (each.data.rows[options.part] for each in (tested[0], tested[-1]))
        if not np.array_equal(first, last):
            raise ValueError(
                f"{model} has another {options.part} part than {models[0]}: compare "
                "runs of one split (finetune --splits FILE)"
            )
    return tested


def _test(model: str, found: survey.Survey, options: Options) -> Tested:
    network = trained.load(model, flips=options.flips)
    config = network.config
    _check(model, config, options)
    read = _elsewhere if options.external else _own
    data = read(model, network, found, options)
    rows = data.rows[options.part]
    if not len(rows):
        raise ValueError(f"{found.listing.root}: no image in its {options.part} part")
    with progress.counted("testing", total=len(rows), unit="images") as done:
        given = (network.predictor, network.model, data, rows)
        if network.predictor.segments:
            resized = options.protocol == "official"
            predicted = predictions.masks_of(*given, resized=resized, progress=done)
        else:
            predicted = predictions.classes_of(*given, progress=done)
    return Tested(network, data, predicted)


def _own(model, network, found, options) -> examples.Examples:
    """The data that the network was trained on, in the same parts."""
    config = network.config
    data = examples.divide(
        found,
        config.data,
        seed=config.train.seed,
        splits_file=options.splits_file or trained.work_folder(model) / "splits.json",
        salt_file=options.salt_file,
    )
    for name, own in (
        ("data_sha256", data.sha256),
        ("split_sha256", examples.split_sha256(data)),
    ):
        if network.extra[name] != own:
            what = "data" if name == "data_sha256" else "split"
            raise ValueError(
                f"{model} was trained on another {what} than {found.listing.root} has "
                "now: which of its images are to test on cannot be told; --external "
                "tests on all of a data set that it was not trained on"
            )
    return data


def _elsewhere(model, network, found, options) -> examples.Examples:
    del options
    data = examples.elsewhere(found, network.class_names)
    if network.extra["data_sha256"] == data.sha256:
        raise ValueError(
            f"{model} was trained on {found.listing.root}: leave --external out"
        )
    return data


def _check(model: str, config: finetune_config.Finetune, options: Options) -> None:
    if config.model.task != options.task:
        raise ValueError(
            f"{model} was trained for {config.model.task}: use --task "
            f"{config.model.task}"
        )
    if options.protocol == "official" and config.data.native:
        raise ValueError(
            f"{model} was trained on windows of images as they are (data.native): the "
            "paper's code has nothing like it; leave --protocol out"
        )


def rows(
    tested: Sequence[Tested],
    baseline: Sequence[Tested],
    options: Options,
    leaked: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    """The scores in JSON values, metric by metric.

    Args:
      tested: runs of one setting, of several seeds.
      baseline: runs of what they are compared with, perhaps none.
      options: how they were tested.
      leaked: see `leakage.summary`.
    """
    per_run = [scores.scores(each.found) for each in tested]
    per_baseline = [scores.scores(each.found) for each in baseline]
    groups, counts = tested[0].found.groups, [_num_train(each) for each in tested]
    every = np.arange(len(groups))
    result = []
    for place, first in enumerate(per_run[0]):
        own, others = ([run[place] for run in all_] for all_ in (per_run, per_baseline))
        ours = [each.of for each in own]
        by_seed = [float(each(every)) for each in ours]
        row = {
            "task": options.task,
            "metric": first.metric,
            "class": first.class_name,
            "protocol": options.protocol,
            "unit": scores.UNITS.get(first.metric),
            **_told(intervals.bootstrap(ours, groups, seed=options.seed)),
            "by_seed": [_number(each) for each in by_seed],
            "std": _spread(by_seed),
            "undefined": max(each.undefined for each in own),
            "absent": list(first.absent),
            "unmeasured": list(first.unmeasured),
            "num_train": counts,
            "num_test": len(groups),
            "num_groups": len(np.unique(groups)),
            "in_training": None
            if options.external
            else max(_in_training(each, options.part) for each in tested),
            "leakage": leaked,
        }
        if baseline:
            row |= _beside(own, others, groups, options.seed)
        result.append(row)
    return result


def _beside(
    ours: Sequence[scores.Score],
    theirs: Sequence[scores.Score],
    groups: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """The baseline's values, and the difference over images defined on both sides."""
    every = np.arange(len(groups))
    by_seed = [float(each.of(every)) for each in theirs]
    common = scores.on_common_images([*ours, *theirs])
    functions = [each.of for each in common]
    count = len(ours)
    difference = intervals.bootstrap(
        functions[:count], groups, seed=seed, baseline=functions[count:]
    )
    own = intervals.bootstrap([each.of for each in theirs], groups, seed=seed)
    return {
        "baseline": {
            **_told(own),
            "by_seed": [_number(each) for each in by_seed],
            "std": _spread(by_seed),
            "undefined": max(each.undefined for each in theirs),
        },
        "difference": {**_told(difference), "undefined": common[0].undefined},
    }


def _spread(by_seed: Sequence[float]) -> float | None:
    """Their standard deviation; None of one."""
    return _number(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None


def leaks(
    tested: Tested, part: str, known: leakage.Known | None
) -> dict[str, Any] | None:
    """How many of the images tested on are among those of shards; None: not asked."""
    if known is None:
        return None
    own = tested.data.rows[part].tolist()
    images = list(predictions.ahead(tested.data, own))
    return leakage.summary(
        images, [examples.identities(tested.data, row) for row in own], known
    )


def pictures(tested: Tested, part: str) -> dict[str, np.ndarray]:
    """The best, the median and the worst test images, for the report."""
    return cases.arrays(
        tested.network, tested.data, tested.data.rows[part], tested.found
    )


def _num_train(tested: Tested) -> int:
    return tested.network.extra["num_train"]


def _in_training(tested: Tested, part: str) -> int:
    """How many images have one of their group in another part.

    0 where the split is ours; one that the data brings may cut groups.
    """
    data = tested.data
    others = [rows for name, rows in data.rows.items() if name != part]
    known = data.of[np.concatenate(others)]
    return int(np.isin(data.of[data.rows[part]], known).sum())


def _told(interval) -> dict[str, float | None]:
    return {name: _number(value) for name, value in interval._asdict().items()}


def _number(value: float) -> float | None:
    """JSON has no nan: undefined is null."""
    return None if np.isnan(value) else float(value)
