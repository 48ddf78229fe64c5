"""Eight CPU devices, quick compiles, strict ranks, checked shapes, for every test."""

import importlib.util
import os
import pathlib
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8"
    + " --xla_backend_optimization_level=0"
)
# a program compiled in one test serves the next, in all of pytest-xdist's workers
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="lvmmed_tests_")
# with a limit jax locks the cache: without, a worker may read what another half wrote
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(8 * 2**30)
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="lvmmed_tests_")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"

import jax
import jaxtyping
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
# the shapes in the signatures of the mathematics are checked in every test
jaxtyping.install_import_hook(
    ["lvmmed_jax.matching", "lvmmed_jax.views"], "beartype.beartype"
)

# modules that need torch; doctests would import them
collect_ignore = [] if importlib.util.find_spec("torch") else ["peers.py"]
_FOLDERS = ("readers", "catalogue", "labels")


def pytest_collection_modifyitems(items):
    """Marks what needs no jax: CI runs it on one Python only; long files come first."""
    root = pathlib.Path(__file__).parents[1] / "data_pipelines"
    mirrored = {
        f"{module.stem}_test"
        for name in _FOLDERS
        for module in (root / name).glob("*.py")
    }
    for item in items:
        if item.path.stem in mirrored:
            item.add_marker(pytest.mark.files)
    # a worker of pytest-xdist takes a file at a time: the longest must not come last
    long = {item.path for item in items if item.get_closest_marker("lengthy")}
    items.sort(key=lambda item: item.path not in long)
