"""Command-line options that several commands have: of training, and of compiling."""

import argparse


def add_training(parser: argparse.ArgumentParser) -> None:
    """Adds --log and --profile."""
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        choices=("wandb", "mlflow"),
        help="send the metrics there too; set up in that tool's own environment",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="write a trace of five steps to WORKDIR/profile (TensorBoard, Perfetto)",
    )


def add_compile_cache(parser: argparse.ArgumentParser) -> None:
    """Adds --no-compile-cache to the help; `command_line` has read it before."""
    parser.add_argument(
        "--no-compile-cache",
        action="store_true",
        help="compile anew instead of reading $XDG_CACHE_HOME/lvmmed",
    )


def parse_with_overrides(
    parser: argparse.ArgumentParser, argv: list[str]
) -> tuple[argparse.Namespace, dict[str, str]]:
    """The options that the parser knows, and `--section.key=value` as a dict."""
    arguments, rest = parser.parse_known_args(argv)
    from lvmmed_jax import config_files

    return arguments, config_files.parse_overrides(rest, parser.error)
