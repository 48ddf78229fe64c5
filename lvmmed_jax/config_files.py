"""Finds and reads config files: Python files with a `get_config(**overrides)`."""

import difflib
import importlib.util
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from lvmmed_jax import config


def shipped_folder() -> pathlib.Path:
    """Where shipped configs lie: inside an installed package, else in the checkout."""
    package = pathlib.Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def parse_overrides(rest: Sequence[str], error: Callable[[str], Any]) -> dict[str, str]:
    """The words `--section.key=value` of a command line as a dict.

    Args:
      rest: what no option has taken.
      error: a parser's, which ends the command.
    """
    overrides = {}
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name or not equals:
            error(f"unknown argument {word!r}; overrides are --section.key=value")
        overrides[name] = value
    return overrides


def load(name: str, overrides: dict[str, Any], kind: type = config.Config) -> Any:
    """Reads a config and applies overrides.

    Args:
      name: path of a Python file, or the name of a shipped one, e.g. "quickstart".
      overrides: "section.key" -> value, see `config.override`.
      kind: what the config must be.

    Raises:
      FileNotFoundError: no such file or shipped config; the nearest name is offered.
      ValueError: the file has no `get_config` that returns a Config, or an override
        does not fit.
    """
    path = pathlib.Path(name)
    if path.suffix != ".py":
        path = shipped_folder() / f"{name}.py"
    if not path.is_file():
        raise FileNotFoundError(_not_found(name))
    spec = importlib.util.spec_from_file_location(f"_config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    if not hasattr(module, "get_config"):
        raise ValueError(f"{path} has no get_config(**overrides)")
    try:
        found = module.get_config(**overrides)
    except TypeError as error:
        raise ValueError(f"{path}: get_config: {error}") from error
    if not isinstance(found, kind):
        raise ValueError(
            f"{path}: get_config returned a {type(found).__name__}, not a "
            f"{kind.__name__}: `pretrain` takes a Config, `finetune` a Finetune"
        )
    return found


def _not_found(name: str) -> str:
    names = sorted(
        path.stem for path in shipped_folder().glob("[!_]*.py") if path.is_file()
    )
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "give a path to a .py file."
    return f"no config {name!r}; {hint} Shipped: {', '.join(names)}"
