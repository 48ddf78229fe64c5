"""What differs between runs, and a comparison as JSON values."""

from collections.abc import Mapping, Sequence
from typing import Any

from lvmmed_jax.report import measures, runs

ABSENT = "absent"

_EVALUATION_FACTS = ("data", "part", "input_size")


def config_differences(all_runs: Sequence[runs.Run]) -> dict[str, list[Any]]:
    """The settings in which runs differ: dotted name -> a value for each run.

    A field that a run's config lacks, as that of an older version may, is `ABSENT`;
    a run without config.json has `ABSENT` everywhere and makes no difference.
    """
    return _differences([run.config for run in all_runs])


def run_differences(all_runs: Sequence[runs.Run]) -> dict[str, list[Any]]:
    """The same of run.json (devices, versions, data) and of how runs were evaluated."""
    of_run = [_without(run.about, "command") for run in all_runs]  # it names the folder
    of_evaluation = [
        {
            key: value
            for key, value in run.evaluation.items()
            if key in _EVALUATION_FACTS
        }
        if run.evaluation
        else {}
        for run in all_runs
    ]
    return {
        **{f"run.{name}": row for name, row in _differences(of_run).items()},
        **{
            f"evaluation.{name}": row
            for name, row in _differences(of_evaluation).items()
        },
    }


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _differences(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    flat = [runs.flatten(record) for record in records]
    present = [record for record in flat if record]
    return {
        name: [record.get(name, ABSENT) for record in flat]
        for name in sorted({name for record in flat for name in record})
        if any(
            record.get(name, ABSENT) != present[0].get(name, ABSENT)
            for record in present
        )
    }


def summary(all_runs: Sequence[runs.Run]) -> dict[str, Any]:
    """The comparison as JSON values.

    Returns:
      `config_differences` and `run_differences`, {name: [a value for each run]}, and
      `evaluation`: one object a measure, its `results` in the order of the runs (null
      where a run has none), and `highest`: the work folder of the run that is, or null.
    """
    return {
        "config_differences": config_differences(all_runs),
        "run_differences": run_differences(all_runs),
        "evaluation": [_as_json(row, all_runs) for row in measures.measures(all_runs)],
    }


def _as_json(row: measures.Measure, all_runs: Sequence[runs.Run]) -> dict[str, Any]:
    kept = ("num_train", "num_test", "random", "pretrained", "difference")
    best = measures.highest(row)
    return {
        **row.identity,
        "results": [
            {key: one.get(key) for key in kept} if one else None for one in row.results
        ],
        "highest": None if best is None else str(all_runs[best].workdir),
    }
