"""Shards as a tfds data set, and tfds data sets as a source; without TensorFlow."""

import io
import json
import pathlib
import sys

import numpy as np
import PIL.Image
import pytest
import shard_jobs
import tensorflow_datasets as tfds

from data_pipelines import manifest, shards, slices, sources, tfds_source
from lvmmed_jax import command_line

pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (40, 44 + number), np.uint8) for number in range(6)]
PATIENTS = ["a", "a", "b", "b", "c", "c"]


def png(pixels):
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Foreign(tfds.core.GeneratorBasedBuilder):
    """As others make one: their own names, a patient, a test part."""

    VERSION = tfds.core.Version("2.1.0")
    name = "foreign_set"

    def _info(self):
        features = {
            "scan": tfds.features.Image(shape=(None, None, 1)),
            "patient_id": tfds.features.Text(),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4), "test": self._generate_examples(2)}

    def _generate_examples(self, count):
        for number in range(count):
            yield (
                number,
                {
                    "scan": png(PICTURES[number]),
                    "patient_id": PATIENTS[number],
                    "label": 0,
                },
            )


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


@pytest.fixture
def foreign(data_dir):
    builder = Foreign(data_dir=data_dir, file_format="array_record")
    builder.download_and_prepare()
    return pathlib.Path(builder.data_path)


def expand(source):
    context = slices.Context(modality="US")
    return sources.expand(source, dataset=None, context=context, first=1)


def test_a_foreign_data_set_is_a_source(foreign):
    (entry,) = expand("tfds:foreign_set")
    assert entry.source == "foreign_set" and entry.paths[0].parent == foreign
    found = list(entry.read(entry.paths))
    assert len(found) == 4 and {piece.modality for piece in found} == {"US"}
    for piece, patient in zip(
        sorted(found, key=lambda piece: piece.pixels.shape), "aabb", strict=True
    ):
        width = piece.pixels.shape[1] - 44
        np.testing.assert_array_equal(piece.pixels, PICTURES[width])
        assert piece.identity == f"foreign_set {patient}"
    assert found[0].identities == (("patient", found[0].identity.split()[1]),)
    assert len(list(expand("tfds:foreign_set@test")[0].read(()))) == 2
    context = slices.Context(held_back=True)  # as `leakage` reads
    tested = sources.expand("tfds:foreign_set", dataset=None, context=context, first=1)
    assert len(list(tested[0].read(()))) == 2
    assert len(list(expand(f"tfds:{foreign}")[0].read(()))) == 4
    assert "tensorflow" not in sys.modules


def test_what_is_not_there_is_told(foreign, data_dir):
    with pytest.raises(FileNotFoundError, match="tfds:nothing: not prepared under"):
        expand("tfds:nothing")
    with pytest.raises(ValueError, match=r"no part 'val'; write .*@PART .*train, test"):
        expand("tfds:foreign_set@val")


def test_depths_and_frames():
    context = slices.Context(identity="x", modality="MR")
    deep = (np.arange(1600).reshape(40, 40, 1) * 20).astype(np.uint16)
    (piece,) = tfds_source._slices(deep, context)
    assert piece.pixels.max() == 255 and piece.intensity_rule == "percentile_1_99"
    video = np.zeros((5, 40, 40, 3), np.uint8)
    assert [piece.index for piece in tfds_source._slices(video, context)] == [
        0, 1, 2, 3, 4,
    ]  # fmt: skip


@pytest.mark.parametrize("colour", [False, True])
def test_shards_become_a_data_set_and_come_back(data_dir, tmp_path, capsys, colour):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, pixels in enumerate(PICTURES):
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
    if colour:
        rgb = np.stack([PICTURES[0], PICTURES[0][::-1], PICTURES[0]], axis=-1)
        PIL.Image.fromarray(rgb).save(folder / "9.png")
    settings = {"size": 64, "num_shards": 1}
    inputs = expand(str(folder))
    job = shards.Job(inputs, tmp_path / "shards", "local", settings, bytes(32))
    shard_jobs.write(job)
    words = ["tfds", str(job.out), "--out", str(data_dir), "--name", "mine", "--json"]
    assert command_line.main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {
        "folder": str(data_dir / "mine" / "1.0.0"),
        "records": 6 + colour,
    }
    found = tfds.data_source("mine", data_dir=data_dir, split="train")
    assert len(found) == 6 + colour
    for number, pixels in enumerate(PICTURES):
        example = found[number]
        expected = np.stack([pixels] * (3 if colour else 1), axis=-1)
        np.testing.assert_array_equal(example["image"], expected)
        assert example["modality"] == b"US" and example["slice"] == -1
    pieces = [piece.pixels for piece in expand("tfds:mine")[0].read(())]
    for pixels, piece in zip(PICTURES, pieces, strict=False):
        np.testing.assert_array_equal(piece, pixels)
    back = list(expand("tfds:mine")[0].read(()))
    groups = [example["group"].decode() for example in found]
    assert [piece.identity for piece in back] == [f"mine {group}" for group in groups]
    assert {piece.modality for piece in back} == {"US"}
    assert {piece.index for piece in back} == {None}
    assert manifest.read(job.out)["records"] == len(pieces)
    assert command_line.main(words) == 1
    assert "is there already" in capsys.readouterr().err
    assert "tensorflow" not in sys.modules
