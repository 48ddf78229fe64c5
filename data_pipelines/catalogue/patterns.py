"""Patterns of the paths that a data set lies under after download.

A pattern is a glob that people can read in `catalogue NAME`, with a few additions:

    *        any characters of one name       **/      any folders, or none
    ?        one of them                      **       all that is below
    #        digits                           (a|b)    one of these
    [0-3]    one of these characters          {...}    the group: patient, volume

`case_#/{*}.nii(|.gz)` fits `data/case_00007/scan.nii.gz`, whose group is `scan`. It may
begin at any folder of the path, and letters fit in either case.
"""

import functools
import re

_TOKENS = {
    "**/": r"(?:[^/]+/)*",
    "**": r".*",
    "*": r"[^/]*?",  # lazy: a group ends where what follows it can begin
    "?": r"[^/]",
    "#": r"\d+",
    "{": r"(?P<group>",
    "(": r"(?:",
    "}": ")",
    ")": ")",
    "|": "|",
}
_TOKEN = re.compile(r"\[[^]]+\]|\*\*/|\*\*|.")


def match(pattern: str, path: str) -> re.Match[str] | None:
    """The match of a whole path, from any of its folders on, or None.

    Args:
      pattern: see the module.
      path: with "/" between its parts.
    """
    return _compiled(pattern).fullmatch(path)


def group_of(found: re.Match[str]) -> str:
    """What `{...}` stands for; the part that fits where a pattern has no group."""
    return found.groupdict().get("group") or found["whole"]


def search(pattern: str, line: str) -> str | None:
    """The group of the first place in a line of text that fits, or None."""
    found = re.search(_translated(pattern), line, re.IGNORECASE)
    return found["group"] if found else None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    text = rf"(?:.*/)?(?P<whole>{_translated(pattern)})"
    return re.compile(text, re.IGNORECASE)


def _translated(pattern: str) -> str:
    tokens = _TOKEN.findall(pattern)
    return "".join(
        each
        if each.startswith("[") and len(each) > 1
        else _TOKENS.get(each) or re.escape(each)
        for each in tokens
    )
