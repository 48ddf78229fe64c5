"""Check of `doctor`: the packages that we need, in the versions that we need."""

import operator
import pathlib
import re
from collections.abc import Iterable, Mapping
from importlib import metadata

from lvmmed_jax.doctor import findings

_CHECKOUT = pathlib.Path(__file__).parents[2]
_SHOWN = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "pydicom")
_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def is_checkout() -> bool:
    """Whether this code runs from a checkout, not from an installed wheel."""
    return (_CHECKOUT / "run.py").is_file()


def requirements() -> dict[str, str]:
    """Package -> the versions that this code needs, e.g. ">=2.0,<3".

    In a checkout they stand in requirements.txt; an installed wheel carries them.

    Raises:
      importlib.metadata.PackageNotFoundError: neither is there.
    """
    if is_checkout():
        lines = (_CHECKOUT / "requirements.txt").read_text().splitlines()
    else:
        lines = metadata.requires("lvmmed-jax") or []
    needed = {}
    for line in lines:
        found = re.match(r"([\w.-]+)([^;#]*)", line)
        if found and "extra ==" not in line:
            needed[found[1]] = found[2].replace(" ", "")
    return needed


def versions(names: Iterable[str]) -> dict[str, str | None]:
    """Package -> its installed version, None where it is missing."""
    return {name: version(name) for name in names}


def version(name: str) -> str | None:
    """The installed version of a package, None where it is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def is_within(installed: str, specifiers: str) -> bool:
    """Whether a version, such as "0.12.0.1", is in a range, such as ">=0.10.2,<0.13".

    Raises:
      ValueError: a specifier that this does not know, such as "~=1.2".
    """
    for specifier in filter(None, specifiers.split(",")):
        found = re.fullmatch(r"([<>=!]=|[<>])([\d.]+)", specifier)
        if not found:
            raise ValueError(f"cannot compare {installed!r} with {specifier!r}")
        if not _COMPARE[found[1]](numbers(installed), numbers(found[2])):
            return False
    return True


def numbers(text: str) -> list[int]:
    """The numbers of a version; a pre-release counts as what it will be."""
    release = re.match(r"\d+(\.\d+)*", text)[0]
    return [int(part) for part in re.sub(r"(\.0+)+$", "", release).split(".")]


def check(
    needed: Mapping[str, str], installed: Mapping[str, str | None]
) -> findings.Finding:
    """Names each package that is missing or out of its range.

    Args:
      needed: package -> specifiers, see `requirements`.
      installed: package -> version or None, see `versions`.
    """
    wrong = {}
    for name, specifiers in needed.items():
        if installed[name] is None:
            wrong[name] = f"{name} is missing"
        elif not is_within(installed[name], specifiers):
            wrong[name] = f"{name} {installed[name]} is not {specifiers}"
    facts = {"versions": dict(installed)}
    if not wrong:
        shown = ", ".join(f"{one} {installed[one]}" for one in _SHOWN if one in needed)
        value = f"all {len(needed)} in range: {shown}"
        return findings.Finding("packages", value, facts=facts)
    advice = []
    if "orbax-checkpoint" in wrong and version("jax2onnx"):
        advice.append("jax2onnx downgrades orbax: give it an environment of its own")
    if "importlib_resources" in wrong:
        advice.append("tensorflow-datasets imports importlib_resources undeclared")
    specifiers = " ".join(f'"{name}{needed[name]}"' for name in wrong)
    install = "-r requirements.txt" if is_checkout() else specifiers
    advice.append(f"pip install {install}")
    value = ", ".join(wrong.values())
    return findings.Finding(
        "packages", value, findings.PROBLEM, "; ".join(advice), facts
    )
