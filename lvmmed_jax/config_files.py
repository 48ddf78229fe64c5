"""Finds and reads config files: Python files with `get_config` or `get_study`."""

import difflib
import importlib.util
import pathlib
import types
from collections.abc import Callable, Sequence
from typing import Any

from lvmmed_jax import config
from lvmmed_jax.study import grid

_OF_RUN, _OF_STUDY = "get_config", "get_study"


def shipped_folder() -> pathlib.Path:
    """Where shipped configs lie: inside an installed package, else in the checkout."""
    package = pathlib.Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped(function: str = _OF_RUN) -> list[str]:
    """Names of the shipped files that define `function`."""
    paths = sorted(shipped_folder().glob("[!_]*.py"))
    return [path.stem for path in paths if f"def {function}(" in path.read_text()]


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
    """Reads the config of a run, or of a fine-tuning, and applies overrides.

    Args:
      name: path of a Python file, or the name of a shipped one, e.g. "quickstart".
      overrides: "section.key" -> value, see `config.override`.
      kind: what the config must be.

    Raises:
      FileNotFoundError: no such file or shipped config; the nearest name is offered.
      ValueError: the file has no `get_config` that returns a Config, or an override
        does not fit.
    """
    path = _find(name, _OF_RUN)
    return _call(path, _OF_RUN, "(**overrides)", kind, overrides)


def load_study(name: str) -> grid.Study:
    """Reads a study.

    Args:
      name: as that of `load`, e.g. "ablations".

    Raises:
      FileNotFoundError: as `load`.
      ValueError: the file has no `get_study` that returns a Study.
    """
    return _call(_find(name, _OF_STUDY), _OF_STUDY, "()", grid.Study, {})


def read(name: str) -> types.ModuleType:
    """Runs a config file, for what else it defines; arguments and errors as `load`."""
    path = _find(name, "")
    spec = importlib.util.spec_from_file_location(f"_config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def _call(path, function: str, arguments: str, kind: type, given: dict) -> Any:
    """What the function of a file returns, which must be of that kind."""
    module = read(str(path))
    if not hasattr(module, function):
        has = {
            _OF_RUN: "of a run, for `pretrain`",
            _OF_STUDY: "of a study, for `study`",
        }
        other = [
            f"; it is {text}" for name, text in has.items() if hasattr(module, name)
        ]
        raise ValueError(f"{path} has no {function}{arguments}{''.join(other)}")
    try:
        found = getattr(module, function)(**given)
    except TypeError as error:
        raise ValueError(f"{path}: {function}: {error}") from error
    if not isinstance(found, kind):
        raise ValueError(
            f"{path}: {function} returned a {type(found).__name__}, not a "
            f"{kind.__name__}: `pretrain` takes a Config, `finetune` a Finetune, "
            "`study` a Study"
        )
    return found


def _find(name: str, function: str) -> pathlib.Path:
    """The path of a file, or of a shipped one."""
    path = pathlib.Path(name)
    if path.suffix != ".py":
        path = shipped_folder() / f"{name}.py"
    if not path.is_file():
        raise FileNotFoundError(_not_found(name, function))
    return path


def _not_found(name: str, function: str) -> str:
    names = shipped(function)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "give a path to a .py file."
    return f"no config {name!r}; {hint} Shipped: {', '.join(names)}"
