"""`load_encoder`: the lines of the README, and what they promise."""

import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import tiny_runs

import lvmmed_jax
from lvmmed_jax import encoders

ROOT = pathlib.Path(__file__).parents[1]


def _lines(name):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    (found,) = (block for block in blocks if "load_encoder" in block)
    return found


def test_the_lines_of_the_readme_run(monkeypatch):
    asked = []

    def load(model):
        asked.append(model)
        return encoders.random(tiny_runs.CONFIG)

    monkeypatch.setattr(encoders, "load", load)
    text, names = _lines("README.md"), {}
    assert (
        len(text.split("\n\n")[1].splitlines()) == 4
        and _lines("docs/features.md") == text
    )
    exec(text, names)
    assert asked == ["runs/mine"]
    assert names["feature_maps"].shape == (8, 4, 4, 16)
    assert names["features"].shape == (8, 16)
    expected = encoders.pooled_features(
        encoders.random(tiny_runs.CONFIG), (255 * names["images"]).astype(np.uint8)
    )
    np.testing.assert_allclose(names["features"], expected, atol=0.02)


def test_the_function_is_pure_and_differentiable(monkeypatch):
    encoder = encoders.random(tiny_runs.CONFIG)
    monkeypatch.setattr(encoders, "load", lambda model: encoder)
    encode, params = lvmmed_jax.load_encoder("any")
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    first, third = jax.jit(encode, static_argnames="stages")(
        params, images, stages=(1, 3)
    )
    np.testing.assert_allclose(third, jax.jit(encode)(params, images), atol=1e-5)
    assert first.shape == (2, 8, 8, 4)
    gradient = jax.jit(jax.grad(lambda params: encode(params, images).sum()))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_importing_the_package_imports_no_jax():
    code = "import sys, lvmmed_jax; assert not {'jax', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
