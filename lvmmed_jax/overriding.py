"""`--section.key=value`: settings of a run on the command line."""

import argparse
from collections.abc import Sequence


def parse(parser: argparse.ArgumentParser, rest: Sequence[str]) -> dict[str, str]:
    """What argparse did not know, as "section.key" -> value; else usage, and exit 2."""
    overrides = {}
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name or not equals:
            parser.error(
                f"unknown argument {word!r}; overrides are --section.key=value"
            )
        overrides[name] = value
    return overrides
