"""Every method learns something of real images in a few minutes."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from data_pipelines import mixture, mni, records
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


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """All slices of a brain in folders of their planes, in two parts."""
    folder, brain = tmp_path_factory.mktemp("slices"), mni.load()
    for part, name in (("training", "train"), ("test", "test")):
        for piece in mni.cube_slices(brain, part=part, per_plane=None):
            place = folder / name / piece.plane
            place.mkdir(parents=True, exist_ok=True)
            image = PIL.Image.fromarray(piece.cut(brain))
            image.save(place / f"{len(list(place.iterdir()))}.png")
    return folder


@pytest.mark.parametrize("name", table.METHODS)
def test_neighbours_are_better_than_those_of_the_random_start(
    name, shards, slices, tmp_path
):
    """By the plane of slices of a brain that no method was told of.

    The start has the BatchNorm statistics of these very slices, which no trained
    encoder has. Chance is 0.36.
    """
    num_classes = len(mixture.class_names(mixture.read_manifest(shards)))
    words = ("methods", f"--train.method={name}", f"--train.steps={STEPS}")
    words += ("--train.evaluate_every_steps=20", "--data", shards)
    if name == "supervised":
        words += (f"--supervised.num_classes={num_classes}",)
    _run("pretrain", *words, "--workdir", tmp_path)
    words = ("evaluate", tmp_path, "--data", slices, "--task", "knn", "--json")
    (found,) = json.loads(_run(*words))["results"]
    lines = writer.read(tmp_path / writer.FILE)
    loss = [line["loss_no_noise"] for line in lines if "loss_no_noise" in line]
    told = {key: found[key] for key in ("pretrained", "random", "difference")}
    print(f"{name}: {told}, loss {loss}")
    assert np.isfinite(loss).all()
    assert found["difference"]["low"] > 0  # of the interval over 229 slices
