"""`finetune`: trains an encoder with a head on labels; the same command resumes."""

import argparse
import json
import pathlib
import sys
from typing import Any

from lvmmed_jax import run_options

_EXAMPLE = """examples:
  python run.py finetune buid --init lvmmed.safetensors --data buid --workdir runs/b
  python run.py finetune brain_tumor --init random:resnet50 --data brain \\
      --workdir runs/r --data.labels=10% --train.seed=1 --model.tuning=linear_probe

DATA: as `evaluate` takes it. Where it has no train/ and test/ (val/) of its own, groups
(patients, volumes, near copies) are dealt once and kept in splits.json. Afterwards:
  python run.py evaluate runs/b --task segmentation --data buid
  python run.py predict runs/b my/images --out masks
"""


def main(argv: list[str]) -> int:
    """Parses, checks, trains; returns the exit code."""
    arguments, overrides = _parse(argv)
    return run(
        arguments.config,
        init=arguments.init,
        data=arguments.data,
        workdir=arguments.workdir,
        overrides=overrides,
        as_json=arguments.json,
        splits_file=arguments.splits,
        salt_file=arguments.salt_file,
        logs=tuple(arguments.log),
        profile=arguments.profile,
    )


def run(
    config_name: str,
    *,
    init: str,
    data: str,
    workdir: pathlib.Path,
    overrides: dict[str, Any],
    as_json: bool = False,
    splits_file: pathlib.Path | None = None,
    salt_file: pathlib.Path | None = None,
    logs: tuple[str, ...] = (),
    profile: bool = False,
) -> int:
    """Fine-tunes and writes the work folder; returns the exit code.

    Args:
      config_name: a shipped config's name, or a Python file.
      init: the encoder, see `origins.read`.
      data: labelled images.
      workdir: the work folder.
      overrides: "section.key" -> value.
      as_json: prints JSON.
      splits_file: where the split is kept; None: in the work folder.
      salt_file: keys its hashes.
      logs: where metrics go besides files: wandb, mlflow.
      profile: traces a few steps.
    """
    from lvmmed_jax import config as configs
    from lvmmed_jax import config_files, files, finetune_config
    from lvmmed_jax.train import sinks

    sinks.check(logs)
    config = config_files.load(config_name, overrides, finetune_config.Finetune)
    finetune_config.validate(config)
    from lvmmed_jax import report_inputs, running
    from lvmmed_jax.downstream import examples, origins, training
    from lvmmed_jax.train import interruption, processes

    with interruption.watch() as stop, running.claimed(workdir):
        begin = origins.read(init, config.train.seed)  # before anything takes long
        read = examples.read(data)
        examples.check_task(read, config.model.task)
        found = examples.divide(
            read,
            config.data,
            seed=config.train.seed,
            splits_file=splits_file or workdir / "splits.json",
            salt_file=salt_file,
        )
        run_ = training.prepare(
            config,
            data=found,
            begin=begin,
            workdir=workdir,
            logs=logs,
            profile=profile,
        )
        files.write_json(workdir / "config.json", configs.as_json(config))
        parts = {part: len(rows) for part, rows in found.rows.items()}
        about = report_inputs.downstream_facts(
            run_.plan.abstract.params, parts, run_.extra["init"], sys.argv
        )
        files.write_json(workdir / "run.json", about)
        _say_start(run_)
        result = training.train(run_, should_stop=stop)
    if result["step"] < run_.num_steps:
        processes.say(
            f"stopped at step {result['step']} of {run_.num_steps}, saved; "
            "the same command goes on from there"
        )
        return stop.exit_code
    print(json.dumps(result) if as_json else _text(result, workdir))
    return 0


def _text(result: dict[str, Any], workdir: pathlib.Path) -> str:
    """The last metrics in a line, the best checkpoint, and what comes next."""
    measured = [
        f"{name.replace('_', ' ')} {value:.4g}"
        for name, value in result.items()
        if name.startswith("val_")
    ]
    lines = [f"{result['images']} images in {result['seconds']:.0f} s"]
    lines[0] += f": {', '.join(measured)}" if measured else ""
    if best := result["best"]:
        (metric,) = best.keys() - {"step"}
        name = metric.replace("_", " ")
        lines.append(f"best {name}, {best[metric]:.4g}, at step {best['step']}")
    return "\n".join([*lines, f"network: {workdir}"])


def _say_start(run_: Any) -> None:
    from lvmmed_jax import initial

    rows, step = run_.data.rows, int(run_.train_state.step)
    counts = ", ".join(f"{len(own)} {part}" for part, own in rows.items())
    print(f"images: {counts}", file=sys.stderr)
    for reason, count in run_.data.notes.items():
        print(f"{count} x {reason}", file=sys.stderr)
    began = initial.text(run_.extra["init"])
    where = f"starting from {began}"
    if step:
        where = f"going on from step {step} of {run_.num_steps}; it began from {began}"
    print(where, file=sys.stderr)
    licence = run_.extra["init"]["licence"]
    if licence:
        print(f"licence: {licence['notice']}", file=sys.stderr)


def _parse(argv: list[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    parser = argparse.ArgumentParser(
        prog="lvmmed finetune",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", help="a shipped config's name, or a Python file")
    parser.add_argument(
        "--init",
        metavar="MODEL",
        required=True,
        help="the encoder: a file of `convert`, a work folder of `pretrain`, a "
        "checkpoint, or random:NAME; random: before any of these is its random start",
    )
    parser.add_argument("--data", required=True, help="labelled images, see below")
    parser.add_argument(
        "--workdir", required=True, type=pathlib.Path, help="where the run lives"
    )
    parser.add_argument(
        "--splits",
        type=pathlib.Path,
        metavar="FILE",
        help="keeps the split, for several runs (default: WORKDIR/splits.json)",
    )
    parser.add_argument(
        "--salt-file",
        type=pathlib.Path,
        metavar="F",
        help="keys the split's hashes (default: $XDG_CONFIG_HOME/lvmmed/salt)",
    )
    run_options.add_training(parser)
    run_options.add_compile_cache(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return run_options.parse_with_overrides(parser, argv)
