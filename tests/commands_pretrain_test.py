"""Wrong input: one clear line, exit 1, nothing written; a finished run stays."""

import dataclasses
import hashlib
import json

import jax
import jax.numpy as jnp
import pytest
import tiny_runs

from lvmmed_jax import command_line
from lvmmed_jax.train import saving, state, writer


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return tiny_runs.make_shards(tmp_path_factory.mktemp("data"))


def _fails(capsys, words, message):
    capsys.readouterr()
    assert command_line.main(["pretrain", *words]) == 1
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith("lvmmed pretrain: error: ") and message in line, line
    assert not output.out


def _contents(folder):
    """Every file below a folder, with its bytes; a lock is empty and stays."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    files = [path for path in files if path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _save_run(workdir, shards):
    """A checkpoint of a run of tests' config on these shards; its weights are none."""
    nothing = state.TrainState(
        step=jnp.asarray(2, jnp.int32),
        params={"w": jnp.zeros(3)},
        model_state={},
        opt_state={},
        key=jax.random.key(0),
        averaged=None,
        skipped=jnp.asarray(0, jnp.int32),
        held=jnp.asarray(False),
    )
    manifest = (shards / "manifest.json").read_bytes()
    extra = {
        "config": json.loads(json.dumps(dataclasses.asdict(tiny_runs.CONFIG))),
        "data_sha256": hashlib.sha256(manifest).hexdigest(),
        "held_out_sha256": None,
    }
    with saving.Saver(workdir) as saver:
        saver.save(2, nothing, extra)


def test_data_without_a_manifest(tmp_path, capsys):
    words = ["quickstart", "--data", str(tmp_path), "--workdir", str(tmp_path / "w")]
    _fails(capsys, words, f"{tmp_path}: no manifest.json; make shards with `prepare")
    assert not list(tmp_path.iterdir())


def test_shard_that_was_cut(shards, tmp_path, capsys):
    for path in shards.iterdir():
        whole = path.read_bytes()
        cut = whole if path.suffix == ".json" else whole[:-1]
        (tmp_path / path.name).write_bytes(cut)
    words = ["quickstart", "--data", str(tmp_path), "--workdir", str(tmp_path / "w")]
    _fails(capsys, words, "prepare the shards again")
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("quickstrt", "--train.steps=3", "did you mean 'quickstart'?"),
        ("quickstart", "--train.stps=3", "did you mean 'train.steps'?"),
        ("quickstart", "--train.steps=many", "train.steps='many' is not a int"),
        # 16 images a graph on 8 devices
        ("quickstart", "--data.global_batch=65", "of 128, e.g. 128"),
        ("quickstart", "--data.global_batch=200", "e.g. 128 or 256"),
        ("quickstart", "--train.num_evaluation_images=200", "num_evaluation_images"),
        ("quickstart", "--matching.num_neighbours=16", "below matching.graph_size=16"),
        ("quickstart", "--train.steps=0", "train.steps=0 must be at least 1"),
        ("quickstart", "--model.encoder=resnet51", "resnet50"),
    ],
)
def test_config_that_does_not_fit(shards, tmp_path, capsys, name, override, message):
    words = [name, "--data", str(shards), "--workdir", str(tmp_path / "w")]
    fits = ["--data.global_batch=128", "--train.num_evaluation_images=128"]
    _fails(capsys, [*words, *fits, override], message)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize(
    "words",
    [["--steps", "3"], ["--train.steps", "3"], ["--steps=3"], ["train.steps=3"]],
)
def test_words_that_are_no_override_are_a_usage_error(shards, tmp_path, capsys, words):
    known = ["quickstart", "--data", str(shards), "--workdir", str(tmp_path / "w")]
    with pytest.raises(SystemExit) as stop:
        command_line.main(["pretrain", *known, *words])
    assert stop.value.code == 2
    assert "overrides are --section.key=value" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_run_with_another_config_is_left_alone(shards, tmp_path, capsys):
    _save_run(tmp_path / "w", shards)
    before = _contents(tmp_path / "w")
    path = str(tiny_runs.write_config(tmp_path))
    words = [path, "--data", str(shards), "--workdir", str(tmp_path / "w")]
    changed = ["--train.steps=7", "--matching.alpha=0.5", "--train.log_every_steps=3"]
    _fails(
        capsys,
        [*words, *changed],
        f"{tmp_path / 'w'} holds a run with another config "
        "(matching.alpha: 0.5, there 0.8; train.steps: 7, there 6)",
    )
    assert _contents(tmp_path / "w") == before


def test_run_on_other_data_is_left_alone(shards, tmp_path, capsys):
    _save_run(tmp_path / "w", shards)
    before = _contents(tmp_path / "w")
    found = json.loads((shards / "manifest.json").read_text())
    for path in shards.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps({**found, "settings": {}}))
    path = str(tiny_runs.write_config(tmp_path))
    words = [path, "--data", str(tmp_path), "--workdir", str(tmp_path / "w")]
    _fails(capsys, words, "was made with other data than --data holds")
    assert _contents(tmp_path / "w") == before


@pytest.mark.lengthy
def test_metrics_without_noise_are_those_of_held_out_images(
    shards, tmp_path, tmp_path_factory
):
    other = tiny_runs.make_shards(tmp_path_factory.mktemp("held out"), seed=1)
    path = str(tiny_runs.write_config(tmp_path))
    found = {}
    for name, held_out in (("training", None), ("heldout", other)):
        words = [path, "--data", str(shards), "--workdir", str(tmp_path / name)]
        words += ["--held-out", str(held_out)] if held_out else []
        words.append("--train.steps=1")
        assert command_line.main(["pretrain", *words]) == 0
        lines = writer.read(tmp_path / name / "metrics.jsonl")
        found[name] = [line.get("affinity_true") for line in lines]
        about = json.loads((tmp_path / name / "run.json").read_text())
        assert about["data"]["held_out_records"] == (40 if held_out else None)
    assert len(found) == 2 and found["training"] != found["heldout"]


def test_run_with_other_held_out_images_is_left_alone(shards, tmp_path, capsys):
    _save_run(tmp_path / "w", shards)
    path = str(tiny_runs.write_config(tmp_path))
    words = [path, "--data", str(shards), "--workdir", str(tmp_path / "w")]
    message = "was made with other data than --held-out holds"
    _fails(capsys, [*words, "--held-out", str(shards)], message)


def test_work_folder_that_is_a_file(shards, tmp_path, capsys):
    (tmp_path / "w").write_text("mine")
    path = str(tiny_runs.write_config(tmp_path))
    words = [path, "--data", str(shards), "--workdir", str(tmp_path / "w")]
    _fails(capsys, words, f"{tmp_path / 'w'}: File exists")
    assert (tmp_path / "w").read_text() == "mine"


@pytest.mark.lengthy
def test_a_finished_run_is_left_as_it_is(shards, tmp_path, capsys):
    path = str(tiny_runs.write_config(tmp_path))
    words = ["pretrain", path, "--data", str(shards), "--workdir", str(tmp_path / "w")]
    words.append("--json")
    assert command_line.main(words) == 0
    first = json.loads(capsys.readouterr().out)
    lines = (tmp_path / "w" / "metrics.jsonl").read_text()
    assert command_line.main(words) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == first
    assert "already trained for 6 steps" in output.err
    assert (tmp_path / "w" / "metrics.jsonl").read_text() == lines
    # other workers and intervals are the same run; another length is not
    assert command_line.main([*words, "--train.log_every_steps=2"]) == 0
    _fails(capsys, [*words[1:], "--train.steps=7"], "train.steps: 7, there 6")
