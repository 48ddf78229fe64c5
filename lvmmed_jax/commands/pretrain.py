"""`pretrain`: trains an encoder by graph matching; the same command resumes."""

import argparse
import json
import pathlib
import sys
from typing import Any

from lvmmed_jax import run_options

_START = ("model", "sha256", "licence")  # what run.json has of it
_ACCURACIES = ("matching_accuracy", "retrieval_accuracy")  # the first that is there
_EXAMPLE = """example:
  python run.py pretrain quickstart --data runs/shards --workdir runs/first \\
      --train.steps=500 --views.size=96

from weights of others: configs/lvmmed_resnet50_imagenet.py and lvmmed_vit_b.py say how

a step whose loss or gradient is not finite is skipped and saved; this repeats it:
  python run.py pretrain quickstart --data runs/shards --workdir runs/first \\
      --train.steps=500 --views.size=96 --replay runs/first/skipped/120
"""

_CLUSTER = """One a host (or one a GPU), all with the same command; work folder and data
on a disk that all see. --distributed finds the others under SLURM, Open MPI, on a TPU
pod and on GKE; elsewhere name them."""


def main(argv: list[str]) -> int:
    """Parses, checks, trains; returns the exit code."""
    arguments, overrides = _parse(argv)
    return run(
        arguments.config,
        data=pathlib.Path(arguments.data),
        held_out=arguments.held_out,
        workdir=pathlib.Path(arguments.workdir),
        overrides=overrides,
        as_json=arguments.json,
        init=arguments.init,
        knn_data=arguments.knn_data,
        profile=arguments.profile,
        repeated=arguments.replay,
        logs=tuple(arguments.log),
        cluster=_cluster(arguments),
    )


def run(
    config_name: str,
    *,
    data: pathlib.Path,
    held_out: pathlib.Path | None,
    workdir: pathlib.Path,
    overrides: dict[str, Any],
    as_json: bool,
    init: str | None = None,
    knn_data: str | None = None,
    profile: bool = False,
    repeated: pathlib.Path | None = None,
    logs: tuple[str, ...] = (),
    cluster: tuple | None = None,
) -> int:
    """Pre-trains and writes the work folder; returns the exit code.

    Args:
      config_name: a shipped config's name, or a Python file.
      data: shards.
      held_out: shards to measure on, or None.
      workdir: the work folder.
      overrides: "section.key" -> value.
      as_json: prints JSON.
      init: weights that a new run begins from; None: random ones.
      knn_data: labelled images for on-line k-NN.
      profile: traces a few steps.
      repeated: a skipped step to repeat; nothing is trained or written then.
      logs: where metrics go besides files: wandb, mlflow.
      cluster: arguments of `processes.start`; None: one process.
    """
    from lvmmed_jax import config_files
    from lvmmed_jax.train import sinks

    sinks.check(logs)

    config = config_files.load(config_name, overrides)
    from data_pipelines import mixture
    from lvmmed_jax import config as configs
    from lvmmed_jax import (
        files,
        initial,
        planning,
        pretraining,
        report_inputs,
        running,
    )
    from lvmmed_jax.train import interruption, processes
    from lvmmed_jax.weights import reading

    if cluster is not None:
        processes.start(*cluster)
    manifest = mixture.read_manifest(data)
    held_out_records = held_out and mixture.read_manifest(held_out)["records"]
    settings = configs.as_json(config)
    configs.validate(config)
    start = init and initial.read(init, config)
    began = start.about if start else initial.of_run(repeated or workdir)
    identity = {
        "config": settings,
        "data_sha256": reading.sha256(data / "manifest.json"),
        "held_out_sha256": held_out and reading.sha256(held_out / "manifest.json"),
        "init": began,
        "normalisation": {
            "mean": list(config.data.mean),
            "std": list(config.data.std),
            "channels": "RGB",
            "range": "0 to 1",
            "intensity_table": manifest["intensity"],
        },
    }
    plan = planning.make(config, tables=began and began["tables"])
    if repeated is not None:
        found = pretraining.repeat(plan, repeated, data, identity)
        print(json.dumps(found) if as_json else replay_text(found))
        return 0
    with interruption.watch() as stop, running.claimed(workdir):
        run_ = pretraining.prepare(
            plan,
            data=data,
            held_out=held_out,
            workdir=workdir,
            extra=identity,
            options=pretraining.Options(knn_data, profile, logs, start or None),
        )
        if processes.is_first():
            files.write_json(workdir / "config.json", settings)
            about = report_inputs.facts(plan.abstract.params, manifest, sys.argv)
            about["data"]["held_out_records"] = held_out_records
            about["init"] = began and {name: began[name] for name in _START}
            files.write_json(workdir / "run.json", about)
            _say_start(run_, initial.text(began))
            if began and began["licence"]:
                print(f"licence: {began['licence']['notice']}", file=sys.stderr)
        result = pretraining.train(run_, should_stop=stop)
    if result["step"] < config.train.steps:
        processes.say(
            f"stopped at step {result['step']} of {config.train.steps}, saved; "
            "the same command goes on from there"
        )
        return stop.exit_code or 143  # another process was told
    if processes.is_first():
        print(json.dumps(result) if as_json else text(result, workdir))
    return 0


def text(result: dict[str, float], workdir: pathlib.Path) -> str:
    """The last metrics in a line, and where the encoder is."""
    if "loss_no_noise" not in result:  # metrics.jsonl is gone
        return f"encoder: {workdir}"
    found = next(name for name in _ACCURACIES if name in result)
    return (
        f"{result['images']} images in {result['seconds']:.0f} s: loss without noise "
        f"{result['loss_no_noise']:.2f}, {found.replace('_', ' ')} "
        f"{result[found]:.3f}, embedding rank "
        f"{result['embedding_rank']:.1f}\n"
        + "".join(f"warning: {reason}\n" for reason in result["warnings"])
        + _best_text(result, workdir)
        + f"encoder: {workdir}"
    )


def _best_text(result: dict[str, Any], workdir: pathlib.Path) -> str:
    """Where the best checkpoint is, if it is not the last."""
    best = result.get("best")
    if not best or best["step"] == result["step"]:
        return ""
    (metric,) = best.keys() - {"step"}
    path = workdir / "checkpoints" / str(best["step"])
    return f"best {metric.replace('_', ' ')}, {best[metric]:.4g}: {path}\n"


def replay_text(found: dict[str, Any]) -> str:
    """What a repeated step gave, beside what it gave at first."""
    then, wrong = found["then"], found["not_finite"]
    lines = [f"step {found['step']}, images {found['records']}"]
    lines += [f"{name}: {found[name]}, then {then[name]}" for name in then]
    lines.append("the same as then" if found["equal"] else "NOT the same as then")
    names = ", ".join(wrong) if wrong else "none"
    lines.append(f"parameters whose gradient is not finite: {names}")
    return "\n".join(lines)


def _say_start(run_: Any, began: str) -> None:
    step, steps = int(run_.train_state.step), run_.config.train.steps
    if step == 0:
        print(f"starting from {began}", file=sys.stderr)
    elif step < steps:
        line = f"going on from step {step} of {steps}; the run began from {began}"
        print(line, file=sys.stderr)
    else:
        print(f"already trained for {steps} steps", file=sys.stderr)


def _parse(argv: list[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """Known options, and `--section.key=value` as a dict."""
    parser = argparse.ArgumentParser(
        prog="lvmmed pretrain",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", help="a shipped config's name, or a Python file")
    parser.add_argument("--data", required=True, help="shards made by `prepare`")
    parser.add_argument(
        "--held-out",
        metavar="SHARDS",
        type=pathlib.Path,
        help="measure loss and matching without noise on these, not on training images",
    )
    parser.add_argument("--workdir", required=True, help="where the run lives")
    parser.add_argument(
        "--init",
        metavar="MODEL",
        help="begin with its encoder: a file of `convert`, a work folder, a checkpoint",
    )
    parser.add_argument(
        "--knn-data",
        metavar="FOLDER",
        help="labelled images (as for `evaluate`): k-NN accuracy while it trains",
    )
    run_options.add_training(parser)
    parser.add_argument(
        "--replay",
        metavar="STEP_FOLDER",
        type=pathlib.Path,
        help="repeat a step that was skipped, WORKDIR/skipped/STEP, and train nothing",
    )
    cluster = parser.add_argument_group("several processes", _CLUSTER)
    cluster.add_argument(
        "--distributed", action="store_true", help="the cluster says who is who"
    )
    cluster.add_argument(
        "--coordinator", metavar="HOST:PORT", help="of the first process"
    )
    cluster.add_argument("--num-processes", type=int, metavar="N")
    cluster.add_argument("--process", type=int, metavar="I", help="from 0 to N - 1")
    run_options.add_compile_cache(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return run_options.parse_with_overrides(parser, argv)


def _cluster(arguments: argparse.Namespace) -> tuple | None:
    """Arguments of `processes.start`; None: one process.

    Raises:
      ValueError: only some of the three are given.
    """
    given = arguments.coordinator, arguments.num_processes, arguments.process
    if all(value is not None for value in given):
        return given
    if any(value is not None for value in given):
        raise ValueError("--coordinator, --num-processes and --process go together")
    return () if arguments.distributed else None
