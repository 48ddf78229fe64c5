"""Every method learns something of real images in a few minutes."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from data_pipelines import mixture, records
from lvmmed_jax.methods import table
from lvmmed_jax.train import writer

pytestmark = pytest.mark.slow
STEPS = 200
ROOT = pathlib.Path(__file__).parents[1]


def _run(*words):
    """A command on one device, as a laptop has it; returns what it printed."""
    command = [sys.executable, "run.py", *map(str, words)]
    environment = {**os.environ, "XLA_FLAGS": ""}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """The images that packages ship, their modalities as classes."""
    folder = tmp_path_factory.mktemp("data")
    _run("prepare", "packaged", "--out", folder / "plain", "--size", 96)
    source = mixture.read_records(
        folder / "plain", mixture.read_manifest(folder / "plain")
    )
    for number in range(len(source)):
        record = records.decode(source[number])
        place = folder / "classes" / record.modality
        place.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(records.image(record)).save(place / f"{number}.png")
    words = ("--classes", "--size", 96, "--dataset", "packaged")
    _run("prepare", folder / "classes", "--out", folder / "shards", *words)
    return folder / "shards"


@pytest.mark.parametrize("name", table.METHODS)
def test_neighbours_are_better_than_those_of_the_random_start(name, shards, tmp_path):
    """By the plane of slices of a brain that no method was told of."""
    num_classes = len(mixture.class_names(mixture.read_manifest(shards)))
    words = ("methods", f"--train.method={name}", f"--train.steps={STEPS}")
    words += ("--train.evaluate_every_steps=20", "--data", shards)
    if name == "supervised":
        words += (f"--supervised.num_classes={num_classes}",)
    _run("pretrain", *words, "--workdir", tmp_path)
    words = ("evaluate", tmp_path, "--data", "packaged:mni", "--task", "knn", "--json")
    (found,) = json.loads(_run(*words))["results"]
    pretrained, random = (found[key]["value"] for key in ("pretrained", "random"))
    lines = writer.read(tmp_path / writer.FILE)
    loss = [line["loss_no_noise"] for line in lines if "loss_no_noise" in line]
    print(f"{name}: k-NN {pretrained:.3f}, random {random:.3f}, loss {loss}")
    assert np.isfinite(loss).all()
    assert pretrained > random + 0.02
