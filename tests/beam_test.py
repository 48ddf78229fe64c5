"""Reading on Apache Beam gives what reading here gives."""

import shutil
import sys

import numpy as np
import PIL.Image
import pytest
import shard_jobs

import data_pipelines
from data_pipelines import pool, shards, slices, sources
from lvmmed_jax import command_line

OPTIONS = ["--runner=DirectRunner", "--direct_running_mode=in_memory"]


@pytest.fixture
def beam():
    pytest.importorskip("apache_beam", reason="pip install -r requirements-beam.txt")
    from data_pipelines import beam

    return beam


@pytest.fixture
def job(tmp_path):
    """Of more files than a bundle has, with a copy and a broken one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(70):
        pixels = rng.integers(0, 256, (36, 48), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "99.png").write_bytes((folder / "7.png").read_bytes())
    (folder / "98.png").write_bytes(b"\x89PNG broken")
    inputs = sources.expand(
        str(folder), dataset=None, context=slices.Context(modality="US"), first=1
    )
    settings = {"size": 32, "num_shards": 2, "deduplicate": True}
    return shards.Job(inputs, tmp_path / "here", "local", settings, bytes(32))


def bytes_of(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.filterwarnings("ignore")
def test_both_ways_give_the_same_bytes(beam, job, tmp_path):
    made = shard_jobs.write(job)
    there = job._replace(out=tmp_path / "there")
    found = beam.write(there, limits=pool.Limits(), runner_options=OPTIONS)
    assert found == made and found["records"] == 70
    assert bytes_of(there.out) == bytes_of(job.out)


@pytest.mark.filterwarnings("ignore")
def test_bundles_that_are_whole_are_not_read_again(beam, job, monkeypatch):
    def stop(*_):
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(shards, "assemble", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            beam.write(job, limits=pool.Limits(), runner_options=OPTIONS)
    names = sorted(path.name for path in (job.out / shards.BEAM_FOLDER).iterdir())
    assert names == ["000000.outcomes", "000001.outcomes", "job.json"]
    other = job._replace(settings=job.settings | {"size": 64})
    with pytest.raises(ValueError, match=r"other settings; .* delete unfinished\.beam"):
        beam.write(other, limits=pool.Limits(), runner_options=OPTIONS)
    left = shutil.copytree(job.out / shards.BEAM_FOLDER, job.out.parent / "left")
    monkeypatch.setattr(beam.apache_beam, "Pipeline", stop)
    made = beam.write(job, limits=pool.Limits(), runner_options=OPTIONS)
    assert made["records"] == 70 and not (job.out / shards.BEAM_FOLDER).exists()
    # as where it was killed while it deleted them
    left.rename(job.out / shards.BEAM_FOLDER)
    assert shards.prepared(job) == made
    assert not (job.out / shards.BEAM_FOLDER).exists()


def test_without_beam_one_line_says_what_to_install(job, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "data_pipelines.beam", raising=False)
    monkeypatch.delattr(data_pipelines, "beam", raising=False)
    words = ["prepare", str(tmp_path / "pictures"), "--out", str(tmp_path / "out")]
    words += ["--beam=--runner=DirectRunner", "--salt-file", str(tmp_path / "salt")]
    assert command_line.main(words) == 1
    assert "requirements-beam.txt" in capsys.readouterr().err
