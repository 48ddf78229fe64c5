"""`quickstart`: prepare, pretrain, evaluate, report on packaged medical images.

Runs the four commands that it prints, with nothing special behind them: put your own
folder in place of `packaged` to go on.
"""

import argparse
import pathlib
import shlex
import sys

from lvmmed_jax.commands import evaluate, prepare, pretrain, report

_EXAMPLE = """example:
  python run.py quickstart --steps 50
"""


def main(argv: list[str]) -> int:
    """Runs the four commands; the first that fails ends it, with its exit code."""
    arguments = _parse(argv)
    plan = commands(arguments.workdir, arguments.steps)
    for number, (name, words) in enumerate(plan, start=1):
        print(f"[{number}/{len(plan)}] {command_text(name, words)}", file=sys.stderr)
        module = {
            "prepare": prepare,
            "pretrain": pretrain,
            "evaluate": evaluate,
            "report": report,
        }[name]
        code = module.main(words)
        if code:
            return code
    print("\nThe same with your own images, one command at a time:")
    for name, words in plan:
        print(f"  {command_text(name, words)}")
    return 0


def commands(workdir: str, steps: int | None) -> list[tuple[str, list[str]]]:
    """The four commands: name and words of each."""
    shards = f"{workdir}/shards"
    shorter = [] if steps is None else [f"--train.steps={steps}"]
    return [
        ("prepare", ["packaged", "--out", shards, "--size", "96"]),
        (
            "pretrain",
            ["quickstart", "--data", shards, "--workdir", workdir, *shorter],
        ),
        ("evaluate", [workdir, "--data", "packaged:mni"]),
        ("report", [workdir]),
    ]


def command_text(name: str, words: list[str]) -> str:
    """A command as it is typed here: in a checkout, or with the package installed."""
    checkout = pathlib.Path(sys.argv[0]).name == "run.py"
    program = ["python", "run.py"] if checkout else ["lvmmed"]
    return shlex.join([*program, name, *words])


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed quickstart",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--workdir", default="runs/quickstart", help="where all of it goes"
    )
    parser.add_argument("--steps", type=int, help="fewer steps than the config's 200")
    parser.add_argument(
        "--no-compile-cache", action="store_true", help="compile everything anew"
    )
    arguments = parser.parse_args(argv)
    if arguments.steps is not None and arguments.steps < 1:
        parser.error("--steps must be at least 1")
    return arguments
