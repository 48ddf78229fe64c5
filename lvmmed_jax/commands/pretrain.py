"""`pretrain`: trains an encoder by graph matching; the same command resumes."""

import argparse
import dataclasses
import hashlib
import json
import pathlib
import sys
from typing import Any

_ACCURACIES = ("matching_accuracy", "retrieval_accuracy")  # the first that is there
_EXAMPLE = """example:
  python run.py pretrain quickstart --data runs/shards --workdir runs/first \\
      --train.steps=500 --views.size=96
"""


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
    )


def run(
    config_name: str,
    *,
    data: pathlib.Path,
    held_out: pathlib.Path | None,
    workdir: pathlib.Path,
    overrides: dict[str, Any],
    as_json: bool,
) -> int:
    """Pre-trains and writes the work folder; returns the exit code."""
    from lvmmed_jax import config_files

    config = config_files.load(config_name, overrides)
    from data_pipelines import mixture
    from lvmmed_jax import files, pretraining
    from lvmmed_jax.train import interruption

    manifest = mixture.read_manifest(data)
    held_out_records = held_out and mixture.read_manifest(held_out)["records"]
    settings = _as_json(config)
    identity = {
        "config": settings,
        "data_sha256": _sha256(data / "manifest.json"),
        "held_out_sha256": held_out and _sha256(held_out / "manifest.json"),
        "normalisation": {
            "mean": list(config.data.mean),
            "std": list(config.data.std),
            "channels": "RGB",
            "range": "0 to 1",
            "intensity_table": manifest["intensity"],
        },
    }
    with interruption.watch() as stop:
        run_ = pretraining.prepare(
            config, data=data, held_out=held_out, workdir=workdir, extra=identity
        )
        files.write_json(workdir / "config.json", settings)
        about = pretraining.facts(run_, manifest, sys.argv)
        about["data"]["held_out_records"] = held_out_records
        files.write_json(workdir / "run.json", about)
        _say_start(run_)
        result = pretraining.train(run_, should_stop=stop)
    if stop() and result["step"] < config.train.steps:
        print(
            f"stopped at step {result['step']} of {config.train.steps}, saved; "
            "the same command goes on from there",
            file=sys.stderr,
        )
        return stop.exit_code
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
        + f"encoder: {workdir}"
    )


def _say_start(run_: Any) -> None:
    step, steps = int(run_.train_state.step), run_.config.train.steps
    if step == 0:
        print("starting from random weights", file=sys.stderr)
    elif step < steps:
        print(f"going on from step {step} of {steps}", file=sys.stderr)
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
        "--no-compile-cache",
        action="store_true",
        help="compile anew instead of reading $XDG_CACHE_HOME/lvmmed",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments, rest = parser.parse_known_args(argv)
    overrides = {}
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name or not equals:
            parser.error(
                f"unknown argument {word!r}; overrides are --section.key=value"
            )
        overrides[name] = value
    return arguments, overrides


def _as_json(config: Any) -> dict:
    """The config as JSON reads it back: tuples are lists."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
