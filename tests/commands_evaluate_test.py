"""The `evaluate` command: what it prints, where it writes, how it refuses."""

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import labelled_files
import numpy as np
import PIL.Image
import pytest
import tiny_runs

from lvmmed_jax import command_line, config, encoders, measuring
from lvmmed_jax.commands import evaluate
from lvmmed_jax.methods import graph_matching
from lvmmed_jax.train import saving, sharding, state


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Two folders of 12 images, dark and bright."""
    folder = tmp_path_factory.mktemp("classes")
    generator = np.random.default_rng(0)
    for name, base in (("dark", 0), ("bright", 150)):
        (folder / name).mkdir()
        for number in range(12):
            pixels = base + generator.integers(0, 60, (24, 30)).astype(np.uint8)
            PIL.Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def small(monkeypatch):
    """`random:NAME` at tests' size instead of the paper's."""

    def make(model):
        return dataclasses.replace(tiny_runs.CONFIG, model=model)

    monkeypatch.setattr(config, "Config", make)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A work folder whose encoder has not been trained: weights of the start."""
    folder = tmp_path_factory.mktemp("run")
    mesh = sharding.make_mesh(1)
    method = graph_matching.make_task(tiny_runs.CONFIG, mesh)
    tx, _ = tiny_runs.adam(3e-3)
    begin = state.create(method.init, tx, jax.random.key(0), mesh)
    last = dataclasses.replace(begin, step=jnp.asarray(3, jnp.int32))
    extra = {"config": json.loads(json.dumps(dataclasses.asdict(tiny_runs.CONFIG)))}
    with saving.Saver(folder) as saver:
        saver.save(3, last, extra)
    return folder


def _evaluate(*words):
    return command_line.main(["evaluate", *map(str, words)])


def test_random_encoder_as_a_table_and_as_json(small, classes, capsys):
    model = "random:resnet8"
    assert _evaluate(model, "--data", classes, "--task", "knn") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("knn bright/dark") and "accuracy" in line
    assert "random: 1.000 [1.000, 1.000]" in line and "(18 train, 6 test)" in line
    assert _evaluate(model, "--data", classes, "--task", "knn", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["model"] == model and answer["data"] == str(classes)
    (row,) = answer["results"]
    assert row["random"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert "difference" not in row and "pretrained" not in row


def test_work_folder_beside_its_own_start(workdir, classes, capsys):
    assert _evaluate(workdir, "--data", classes, "--task", "knn") == 0
    output = capsys.readouterr()
    for name in ("random", "pretrained", "difference"):
        assert f"  {name}: " in output.out
    assert output.err.splitlines() == ["evaluating on 24 images"]
    written = json.loads((workdir / "evaluation.json").read_text())
    assert written["input_size"] == 32 and len(written["results"]) == 1
    (workdir / "evaluation.json").unlink()
    saved = workdir / "checkpoints" / "3"
    assert _evaluate(saved, "--data", classes, "--task", "knn") == 0
    assert not (workdir / "evaluation.json").exists()  # of the run's end only


def test_several_data_sets_are_named(workdir, classes, capsys):
    other = classes.parent / "others"
    other.symlink_to(classes)
    assert _evaluate(workdir, "--data", classes, other, "--task", "knn") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{classes.name} knn") and second.startswith("others knn")


def test_validation_needs_a_split_of_folders(workdir, classes, capsys):
    assert _evaluate(workdir, "--data", classes, "--part", "val") == 1
    assert "has no val/ beside train/" in capsys.readouterr().err


def test_overlays_of_another_evaluation_do_not_stay(workdir, classes):
    overlays = workdir / "pictures" / "evaluation.npz"
    overlays.parent.mkdir(exist_ok=True)
    overlays.write_bytes(b"of other data")
    assert command_line.main(["evaluate", str(workdir), "--data", str(classes)]) == 0
    assert not overlays.exists()


def test_the_random_side_is_the_start_of_that_run(workdir, classes, monkeypatch):
    seen = []
    calibrate = encoders.calibrate
    monkeypatch.setattr(
        encoders, "calibrate", lambda one, x: seen.append((one, x)) or calibrate(one, x)
    )
    assert _evaluate(workdir, "--data", classes, "--task", "knn") == 0
    ((start, images),) = seen
    jax.tree.map(
        np.testing.assert_array_equal,
        start.variables["params"],
        encoders.load(str(workdir)).variables["params"],
    )
    assert images[:].shape == (18, 32, 32, 3)  # the training side alone


@pytest.mark.parametrize(
    ("model", "data", "task", "message"),
    [
        ("random:resnet51", None, "knn", "'resnet51'; known: "),
        ("random:resnet8", None, "knm", "unknown --task 'knm'; known: knn"),
        ("random:resnet8", None, "knn,", "unknown --task ''"),
        ("random:resnet8", "no/such", "knn", "no/such: no such folder"),
        ("no/such", None, "knn", "no/such is no work folder"),
    ],
)
def test_mistakes_are_one_line(classes, capsys, model, data, task, message):
    assert _evaluate(model, "--data", data or classes, "--task", task) == 1
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith("lvmmed evaluate: error: ") and message in line
    assert not output.out


@pytest.mark.parametrize("words", [[], ["random:resnet8"], ["x", "--data"]])
def test_misuse_ends_with_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        _evaluate(*words)
    assert end.value.code == 2


@pytest.mark.lengthy
def test_few_labels_are_rows_of_their_own(workdir, classes, capsys):
    words = (workdir, "--data", classes, "--task", "knn", "--seeds", "3")
    assert _evaluate(*words, "--few-labels", "1,50%", "--json") == 0
    whole, one, half = json.loads(capsys.readouterr().out)["results"]
    assert "labels" not in whole and whole["num_train"] == 18
    assert (one["labels"], half["labels"]) == ("1 a class", "50 %")
    assert (one["num_train"], half["num_train"], one["num_test"]) == (2, 10, 6)
    for row in (one, half):
        assert row["seeds"] == 3 == len(row["pretrained"]["by_seed"])
        bounds = row["difference"]
        assert bounds["low"] <= bounds["value"] <= bounds["high"]
        assert row["random"]["value"] == pytest.approx(
            np.mean(row["random"]["by_seed"])
        )
    assert _evaluate(*words, "--few-labels", "1,50%") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("knn bright/dark 1 a class ")


@pytest.fixture(scope="module")
def picture_classes(tmp_path_factory):
    """Two folders of pictures that are large enough to be looked for."""
    folder = tmp_path_factory.mktemp("pictures") / "classes"
    return labelled_files.class_folders(folder, low=8, high=8)


def test_leaked_test_images_are_counted_beside_every_score(
    small, picture_classes, tmp_path, capsys
):
    salt = tmp_path / "salt"
    trained = tmp_path / "trained"
    for number in (0, 1):  # others, so that there are shards
        labelled_files.save(
            trained / f"scan_of_{number}.png", labelled_files.picture(99 + number)
        )
    shutil.copytree(picture_classes / "low", trained / "low")
    shards = tmp_path / "shards"
    words = ["prepare", trained, "--out", shards, "--salt-file", salt, "--workers", 0]
    assert command_line.main([*map(str, words)]) == 0
    capsys.readouterr()
    words = ("random:resnet8", "--data", picture_classes, "--task", "knn")
    against = ("--against", shards, "--salt-file", salt)
    assert _evaluate(*words, *against) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("leakage: 2 of 4 test images")
    assert _evaluate(*words, *against, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["leakage"] == {
        "leaked": 2,
        "compared": 4,
        "tested": 4,
        "kinds": {"same image": 2},
    }
    assert _evaluate(*words) == 0
    assert "leakage: not looked for" in capsys.readouterr().out
    other = tmp_path / "other"
    other.write_text(64 * "a")
    assert _evaluate(*words, "--against", shards, "--salt-file", other) == 1
    assert "made with another salt" in capsys.readouterr().err


def test_a_folder_of_npz_is_a_suite(small, tmp_path, capsys):
    suite = tmp_path / "suite"
    suite.mkdir()
    rng = np.random.default_rng(0)
    for name, columns in (("one", 1), ("several", 4), ("two", 1)):
        arrays = {}
        for part, count in (("train", 12), ("test", 6)):
            labels = rng.integers(0, 2, (count, columns))
            labels[:, 0] = np.arange(count) % 2
            images = 120 * labels[:, :1, None] + rng.integers(0, 90, (count, 28, 28))
            arrays |= {f"{part}_images": images.astype(np.uint8)}
            arrays |= {f"{part}_labels": labels}
        np.savez(suite / f"{name}.npz", **arrays)
    np.savez(suite / "other.npz", train_images=images)
    words = ("random:resnet8", "--data", suite, "--task", "knn")
    assert _evaluate(*words) == 0
    first, second, third, skipped = capsys.readouterr().out.splitlines()
    assert first.startswith("one.npz knn 0/1") and third.startswith("two.npz knn")
    assert "random: 1.000" in first and "(12 train, 6 test)" in first
    assert second.startswith("several.npz knn 4 labels") and " auc " in second
    assert skipped.startswith("skipped other.npz:") and "needs the arrays" in skipped
    found = evaluate.run(
        "random:resnet8", data=[str(suite)], tasks=("knn",), seed=0, part="test"
    )
    assert found["data_sets"] == ["suite"]  # by which a study knows what it asked for


def test_a_start_that_was_measured_is_not_measured_again(workdir, classes, monkeypatch):
    asked = {"data": [str(classes)], "tasks": ("knn",), "seed": 0, "part": "test"}
    alone = evaluate.run(str(workdir), **asked)
    encoders_seen = []
    real = measuring.measure

    def measure(encoder, *rest):
        encoders_seen.append(encoder)
        return real(encoder, *rest)

    monkeypatch.setattr(measuring, "measure", measure)
    starts = {}
    first = evaluate.run(str(workdir), **asked, starts=starts)
    again = evaluate.run(str(workdir), **asked, starts=starts)
    assert len(encoders_seen) == 3 and len(starts) == 1
    assert first["results"] == again["results"] == alone["results"]
    evaluate.run(str(workdir), **{**asked, "seed": 1}, starts=starts)
    assert len(encoders_seen) == 5 and len(starts) == 2
