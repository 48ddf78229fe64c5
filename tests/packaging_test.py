"""pyproject.toml and the requirements against the tree."""

import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_installed():
    setuptools = PROJECT["tool"]["setuptools"]
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("data_pipelines", "lvmmed_jax")
        for path in (ROOT / top).rglob("__init__.py")
    }
    moved = setuptools["package-dir"]
    assert set(setuptools["packages"]) == folders | moved.keys()
    assert all((ROOT / folder).is_dir() for folder in moved.values())


def test_requirements_have_bounds_and_no_second_framework():
    lines = [
        line
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.search(r">=", line) for line in lines)
    names = {re.split(r"[<>=\[]", line)[0] for line in lines}
    required = "jax flax optax orbax-checkpoint tensorflow-datasets grain pytest"
    assert set(required.split()) <= names
    assert not names & {"torch", "tensorflow", "torchvision"}
