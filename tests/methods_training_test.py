"""Every method learns something of real images in a few minutes."""

import collections
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from scipy import stats

from data_pipelines import mixture, records
from lvmmed_jax.methods import table
from lvmmed_jax.train import writer

pytestmark = pytest.mark.slow
STEPS = 200
HELD_OUT = 192  # images that no run trains on, in graphs of 16
MIN_IMAGES = 8  # of a class that takes part
ROOT = pathlib.Path(__file__).parents[1]


def _run(*words):
    """A command on one device, as a laptop has it."""
    command = [sys.executable, "run.py", *map(str, words)]
    environment = {**os.environ, "XLA_FLAGS": ""}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


def _records(folder):
    """All records of some shards."""
    source = mixture.read_records(folder, mixture.read_manifest(folder))
    return [records.decode(source[number]) for number in range(len(source))]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Images that packages ship, their modalities as classes; a fourth is held out."""
    folder = tmp_path_factory.mktemp("data")
    _run("prepare", "packaged", "--out", folder / "plain", "--size", 96)
    by_class = collections.defaultdict(list)
    for record in _records(folder / "plain"):
        by_class[record.modality].append(records.image(record))
    for name, images in by_class.items():
        if len(images) < MIN_IMAGES:
            continue
        for number, image in enumerate(images):
            part = "train" if number % 4 else "val"
            place = folder / "classes" / part / name
            place.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(image).save(place / f"{number}.png")
    for part in ("train", "val"):
        words = ("--classes", "--size", 96, "--dataset", "packaged")
        _run("prepare", folder / "classes" / part, "--out", folder / part, *words)
    return folder


@pytest.fixture
def learn(shards, tmp_path):
    """Method -> lines of metrics with what is measured on images that are held out."""
    num_classes = len(mixture.class_names(mixture.read_manifest(shards / "train")))

    def run(name):
        words = ("methods", f"--train.method={name}", f"--train.steps={STEPS}")
        words += ("--train.evaluate_every_steps=50",)
        words += (f"--train.num_evaluation_images={HELD_OUT}",)
        if name == "supervised":
            words += (f"--supervised.num_classes={num_classes}",)
        words += ("--data", shards / "train", "--held-out", shards / "val")
        _run("pretrain", *words, "--workdir", tmp_path)
        lines = writer.read(tmp_path / writer.FILE)
        found = [line for line in lines if "loss_no_noise" in line]
        keys = ("loss_no_noise", "retrieval_accuracy", "embedding_rank")
        told = {key: [round(line[key], 3) for line in found] for key in keys}
        print(f"{name}: {json.dumps(told)}")
        assert all(np.isfinite(line["loss_no_noise"]) for line in found)
        return found

    return run


@pytest.mark.parametrize("name", sorted(table.METHODS.keys() - {"mae", "supervised"}))
def test_the_other_view_is_found_more_often_than_by_the_random_start(name, learn):
    """Among 16 images; chance is 1 / 16, as is a collapsed encoder's."""
    lines = learn(name)
    first, last = (lines[place]["retrieval_accuracy"] for place in (0, -1))
    # by chance in one of 40 such runs, were the two of different images
    error = np.sqrt((first * (1 - first) + last * (1 - last)) / HELD_OUT)
    assert last - first > stats.norm.ppf(0.975) * error


def test_mae_tells_more_of_hidden_patches_than_their_mean(learn):
    """Which has a loss of 1: their pixels are normalised."""
    assert learn("mae")[-1]["loss_no_noise"] < 0.75


def test_supervised_tells_more_than_how_often_classes_are(learn, shards):
    """Which has the entropy of the labels as its loss."""
    learnt = learn("supervised")[-1]["loss_no_noise"]
    labels = [record.label for record in _records(shards / "val")]
    assert learnt < stats.entropy(np.bincount(labels)) / 4
