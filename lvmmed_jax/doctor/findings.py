"""What a check of `doctor` finds, and how it is shown."""

import dataclasses
import os
import re
import textwrap
from collections.abc import Callable
from typing import Any

OK, NOTE, PROBLEM = "ok", "note", "problem"
_WIDTH = 100
_LONGEST_ERROR = 300
_FOLDERS = re.compile(r"""(?<![\w:/])(?:[A-Za-z]:)?(?:[\\/][^\s\\/:'"]+)+[\\/]""")


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
      name: the check, one word.
      value: what was found, for people.
      status: `OK`, `NOTE` (works, but should be known) or `PROBLEM`.
      advice: what to do; empty where nothing is to be done.
      facts: the numbers and versions within `value`, for programs.
    """

    name: str
    value: str
    status: str = OK
    advice: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


def guarded(name: str, check: Callable[[], Any], advice: str) -> Any:
    """What `check` returns; an error of any kind is a problem that was found.

    Args:
      name: the check.
      check: called without arguments.
      advice: what to do after an error.

    Returns:
      What the check returns, or a `Finding` that tells the error.

    Raises:
      Exception: that of the check, with LVMMED_TRACEBACK=1.
    """
    try:
        return check()
    except Exception as error:  # a broken package may raise anything when imported
        if os.environ.get("LVMMED_TRACEBACK"):
            raise
        message = without_paths(f"failed with {type(error).__name__}: {error}")
        value = textwrap.shorten(message, _LONGEST_ERROR).removesuffix(":")
        return Finding(name, value, PROBLEM, advice)


def without_paths(text: str) -> str:
    """`text` without the folders of absolute paths, which may name the user."""
    return _FOLDERS.sub(".../", text)


def size(num_bytes: float) -> str:
    """A number of bytes as text: 1.5 GiB, 3 MiB."""
    if num_bytes < 2**30:
        return f"{num_bytes / 2**20:.0f} MiB"
    return f"{num_bytes / 2**30:.1f} GiB"


def text(finding: Finding) -> str:
    """Name, status and value, with the advice below.

    At most 100 columns wide; a path longer than that stays whole, to be copied.
    """
    status = finding.status.upper() if finding.status == PROBLEM else finding.status
    lines = _wrapped(f"{finding.name:<10}{status:<9}", finding.value)
    if finding.advice:
        lines += _wrapped(f"{'':<19}-> ", finding.advice)
    return "\n".join(lines)


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_on_hyphens=False,
        break_long_words=False,
    )
