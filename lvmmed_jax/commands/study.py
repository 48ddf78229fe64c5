"""`study`: a grid of pre-training runs, each measured; run it again to go on."""

import argparse
import contextlib
import dataclasses
import pathlib
import sys
from typing import Any

from lvmmed_jax import run_options

_EXAMPLE = """examples:
  python run.py study quickstart_study --data runs/shards --workdir runs/small \\
      --train.steps=60
  python run.py report runs/small
  python run.py study ablations --data $WORK/shards/train --held-out $WORK/shards/val \\
      --labelled $WORK --workdir $WORK/ablations --only full,no_local --part 1/2

CONFIG is a Python file whose `get_study()` returns a grid.Study, or the name of a
shipped one. --section.key=value changes that setting of all runs. Every run is a work
folder below WORKDIR/runs; results.csv has a row for each that is done, and `report
WORKDIR` makes tables and a page. The same command goes on after any end. In an array
job each process has its own --part; a tuned variant is whole in one of them.
"""


def main(argv: list[str]) -> int:
    """Parses, checks, makes the runs of a part; returns the exit code."""
    arguments, overrides = _parse(argv)
    # after the options, so that --help does not wait for jax
    from lvmmed_jax import command_line
    from lvmmed_jax.study import jobs, record, results, running
    from lvmmed_jax.train import interruption

    study, workdir = _study(arguments, overrides), arguments.workdir
    inputs = record.Inputs(arguments.data, arguments.held_out, arguments.labelled)
    _check_evaluations(study, inputs)
    whole = record.write(study, workdir, inputs)
    if len(groups := jobs.by_images(study)) > 1:
        apart = "; ".join(", ".join(names) for names in groups)
        print(f"note: other images, or in another order: {apart}", file=sys.stderr)
    starts: dict = {}
    actions = running.Actions(
        lambda job: _train(job, study, inputs),
        lambda job: _evaluate(job, inputs, starts),
        command_line.one_line,
    )
    part = jobs.part(study, *arguments.part)
    with interruption.goes_on(f"what is done is kept in {workdir}"):
        outcome = running.run(study, workdir, part, actions, whole)
    if outcome.exit_code:
        return outcome.exit_code
    if outcome.failed:
        raise ValueError(
            f"{len(outcome.failed)} of its jobs failed, the first {outcome.failed[0]}; "
            "the same command tries them again"
        )
    table = results.write(workdir, running.known(whole, workdir))
    print(f"{table}: all runs of this part; `report {workdir}` makes tables of them")
    return 0


def _study(arguments: argparse.Namespace, overrides: dict[str, Any]):
    """The study of the config file, checked, as the command line changes it."""
    from lvmmed_jax import config_files
    from lvmmed_jax.study import grid, jobs

    study = grid.override(config_files.load_study(arguments.config), overrides)
    if arguments.seeds is not None:
        study = dataclasses.replace(study, seeds=arguments.seeds)
    jobs.check(study)
    if arguments.only is None:
        return study
    unknown = [name for name in arguments.only if name not in study.variants]
    if unknown:
        raise ValueError(
            f"--only: no variant {unknown[0]!r}; there are {', '.join(study.variants)}"
        )
    variants = {name: study.variants[name] for name in arguments.only}
    return dataclasses.replace(study, variants=variants)


def _check_evaluations(study, inputs) -> None:
    """Refuses what `evaluate` would refuse after the first training."""
    from data_pipelines import labelled
    from lvmmed_jax import few_labels, measuring

    for evaluation in study.evaluations:
        few_labels.parse(evaluation.few_labels)
        unknown = [each for each in evaluation.tasks if each not in measuring.TASKS]
        if unknown or not evaluation.tasks:
            raise ValueError(
                f"an evaluation's tasks are {', '.join(measuring.TASKS)}, not "
                f"{unknown[0] if unknown else 'none'}"
            )
        for name in evaluation.data:
            labelled.check_part(inputs.place(name), evaluation.part)


def _train(job, study, inputs) -> int:
    """As the command `pretrain` does, whose result is no result of the study."""
    import jax

    from lvmmed_jax.commands import pretrain
    from lvmmed_jax.study import finished
    from lvmmed_jax.train import guard

    try:
        with contextlib.redirect_stdout(sys.stderr):
            return pretrain.run(
                job.config_name,
                data=inputs.data,
                held_out=inputs.held_out,
                workdir=job.folder,
                overrides=job.overrides,
                as_json=False,
                knn_data=study.knn_data and inputs.place(study.knn_data),
            )
    except guard.NonFiniteError as error:
        finished.write_diverged(job, str(error))
        raise
    finally:
        jax.clear_caches()  # the next run has programs of its own


def _evaluate(job, inputs, starts) -> None:
    import jax

    from lvmmed_jax import running
    from lvmmed_jax.commands import evaluate

    with running.claimed(job.folder):
        evaluate.run(
            str(job.folder),
            data=[inputs.place(name) for name in job.evaluation.data],
            tasks=job.evaluation.tasks,
            seed=0,
            part=job.evaluation.part,
            few=job.evaluation.few_labels,
            num_seeds=job.evaluation.num_seeds,
            starts=starts,
        )
    jax.clear_caches()


def _parse(argv: list[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """Known options, and `--section.key=value` as a dict."""
    parser = argparse.ArgumentParser(
        prog="lvmmed study",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", help="a shipped study's name, or a Python file")
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument(
        "--data",
        required=True,
        metavar="SHARDS",
        type=pathlib.Path,
        help="made by `prepare`: all runs train on them",
    )
    parser.add_argument(
        "--held-out",
        metavar="SHARDS",
        type=pathlib.Path,
        help="losses without noise are measured on these, as in `pretrain`",
    )
    parser.add_argument(
        "--labelled",
        metavar="FOLDER",
        type=pathlib.Path,
        help="where the data sets lie that the study measures on",
    )
    parser.add_argument(
        "--part",
        type=_part,
        default=(0, 1),
        metavar="I/N",
        help="make only the I-th of N parts (default: 1/1)",
    )
    parser.add_argument(
        "--seeds", type=_seeds, metavar="N,N", help="other seeds than the study's"
    )
    parser.add_argument(
        "--only", type=_names, metavar="NAME,NAME", help="these variants"
    )
    run_options.add_compile_cache(parser)
    return run_options.parse_with_overrides(parser, argv)


def _part(text: str) -> tuple[int, int]:
    """The index, from 0, and the number of parts of "I/N"."""
    index, slash, number = text.partition("/")
    if not (slash and index.isdigit() and number.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 1/4")
    if not 1 <= int(index) <= int(number):
        raise argparse.ArgumentTypeError(f"{text!r}: parts are 1 to {number}")
    return int(index) - 1, int(number)


def _seeds(text: str) -> tuple[int, ...]:
    if not all(word.isdigit() for word in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form 0,1,2")
    return tuple(map(int, text.split(",")))


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split(",")))
