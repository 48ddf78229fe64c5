"""The `embed` command: rows in order, resumed byte for byte, what it refuses."""

import functools
import json
import re
import shutil

import jax.numpy as jnp
import nibabel
import numpy as np
import PIL.Image
import pytest
import tiny_runs

from data_pipelines import journal
from lvmmed_jax import command_line, config, encoders

MODEL, QUICK, OTHER = "random:resnet8", "quick", "other"
NUM_PICTURES, NUM_SLICES = 20, 25


@functools.cache
def _load(model):
    """A ResNet-8 at tests' size, or a network that compiles at once."""
    if model == MODEL:
        return encoders.random(tiny_runs.CONFIG)

    def maps(gain, images, stages=()):
        means = gain * images.reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4))
        return tuple(stage * means for stage in stages) or means

    def pool(gain, images):
        return maps(gain, images).mean(axis=(1, 2))

    gain = jnp.float32({QUICK: 1, OTHER: 2}[model])
    return encoders.Encoder(maps, gain, 32, 4, pool, None)


@pytest.fixture(autouse=True, scope="module")
def models():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders, "load", _load)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures in two folders, a volume between them, and a broken file."""
    root = tmp_path_factory.mktemp("data") / "input"
    rng = np.random.default_rng(0)
    for number in range(NUM_PICTURES):
        path = root / ("alpha" if number % 2 else "omega") / f"case{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(_picture(rng, number)).save(path)
    volume = rng.normal(100, 40, (40, 44, NUM_SLICES)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), root / "brain.nii.gz")
    (root / "broken.png").write_bytes(b"\x89PNG broken")
    (root / "notes.txt").write_text("no image")
    return root


def _picture(rng, number):
    pixels = rng.integers(0, 60, (40, 48), np.uint8)
    row = 2 * (number % 10)
    pixels[row : row + 12, 8 : 8 + number] += 120
    return pixels


def _embed(*words):
    return command_line.main(["embed", *map(str, words), "--workers", "0"])


def _arrays(path):
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """The features of the folder, of a run that nobody stopped."""
    out = tmp_path_factory.mktemp("whole") / "features.npz"
    assert _embed(MODEL, folder, "--out", out, "--batch", "8") == 0
    return out


@pytest.fixture(scope="module")
def quick(folder, tmp_path_factory):
    """Likewise, of the network that compiles at once."""
    out = tmp_path_factory.mktemp("quick") / "features.npz"
    assert _embed(QUICK, folder, "--out", out, "--batch", "8") == 0
    return out


def test_rows_are_in_the_order_of_the_files_and_slices(folder, whole):
    found = _arrays(whole)
    paths = sorted(folder.glob("alpha/*"), key=lambda path: int(path.stem[4:]))
    first = [np.asarray(PIL.Image.open(path)) for path in paths]
    encoder = encoders.load(MODEL)
    images = np.stack([encoders.resize(pixels, 32) for pixels in first])
    expected = encoders.pooled_features(encoder, images)
    np.testing.assert_allclose(found["features"][:10], expected, rtol=1e-4, atol=1e-5)
    numbers = [int(name[1:5]) for name in found["file"]]
    # alpha, the volume, broken.png, notes.txt, omega
    assert numbers == [*range(1, 11), *[11] * NUM_SLICES, *range(14, 24)]
    assert found["slice"][10:35].tolist() == list(range(NUM_SLICES))
    assert set(found["slice"][:10]) == {-1} == set(found["record"])
    assert len(set(found["group"][10:35])) == 1 and len(set(found["group"])) == 21
    assert found["features"].dtype == np.float32 and found["features"].std() > 0.01


def test_what_could_not_be_read_is_listed(whole):
    about = json.loads(str(_arrays(whole)["about"]))
    assert about["rows"] == 45 and about["files"] == 23
    assert [entry["file"][:5] for entry in about["skipped"]] == ["#0012", "#0013"]
    assert about["skipped"][1]["reason"] == "not an image format"
    assert about["mean"] == list(config.Data().mean)


def test_no_path_is_stored_unless_it_is_asked_for(folder, quick, tmp_path, capsys):
    assert b"case" not in quick.read_bytes() and "path" not in _arrays(quick)
    out = tmp_path / "features.npz"
    assert _embed(QUICK, folder, "--out", out, "--store-paths", "--batch", "8") == 0
    assert "case" not in capsys.readouterr().out
    found = _arrays(out)
    assert found["path"][[0, 10, 35]].tolist() == [
        "alpha/case1.png",
        "brain.nii.gz",
        "omega/case0.png",
    ]
    np.testing.assert_array_equal(found["features"], _arrays(quick)["features"])


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_stopped_anywhere_it_goes_on_to_the_same_bytes(
    folder, tmp_path, monkeypatch, ending
):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    words = [QUICK, folder, "--batch", "8", "--out"]
    expected = tmp_path / f"whole.{ending}"
    assert _embed(*words, expected) == 0
    append = journal.Journal.append
    out, left = tmp_path / f"features.{ending}", [0]

    def stop_after(log, value):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        append(log, value)

    monkeypatch.setattr(journal.Journal, "append", stop_after)
    codes = []
    while not out.exists():
        left[0] = 1 + len(codes) % 2
        codes.append(_embed(*words, out))
    assert codes == [130] * 4 + [0]  # a header and 6 batches
    assert out.read_bytes() == expected.read_bytes()
    assert not list(tmp_path.glob("*.unfinished"))


def test_finished_work_is_not_done_again(folder, quick, capsys):
    before = quick.stat().st_mtime_ns
    words = (QUICK, folder, "--out", quick, "--batch", "8")
    assert _embed(*words, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["already_embedded"] and quick.stat().st_mtime_ns == before
    assert answer["arrays"] == {"features": [45, 3]} and len(answer["skipped"]) == 2


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"batch": "4"}, "batch"),
        ({"model": OTHER}, "model"),
        ({"images": "alpha"}, "images"),
        ({"more": ["--dense"]}, "arrays"),
    ],
)
def test_other_work_does_not_go_on(
    folder, quick, tmp_path, monkeypatch, capsys, changed, word
):
    def words(out, model=QUICK, images="", size="32", batch="8", more=()):
        told = [model, folder / images, "--size", size, "--batch", batch]
        return [*told, "--out", out, *more]

    assert _embed(*words(quick, **changed)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"holds features with other {word}" in line and "another --out" in line
    append = journal.Journal.append

    def stop(log, value):
        if log.num_entries == 2:
            raise KeyboardInterrupt
        append(log, value)

    out = tmp_path / "features.npz"
    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "append", stop)
        assert _embed(*words(out)) == 130
    capsys.readouterr()
    assert _embed(*words(out, **changed)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"unfinished features with other {word}; repeat its command" in line


def test_a_changed_image_is_noticed(folder, tmp_path, capsys):
    images, out = tmp_path / "images", tmp_path / "features.npz"
    shutil.copytree(folder / "alpha", images)
    assert _embed(QUICK, images, "--out", out) == 0
    shutil.copy(images / "case1.png", images / "case3.png")
    assert _embed(QUICK, images, "--out", out) == 1
    assert "with other images" in capsys.readouterr().err


def test_layers_and_dense_maps(folder, tmp_path):
    out = tmp_path / "maps.npz"
    words = (MODEL, folder / "alpha", "--out", out, "--layers", "1,3", "--dense")
    assert _embed(*words) == 0
    found, encoder = _arrays(out), encoders.load(MODEL)
    assert "features" not in found
    assert found["layer_1"].shape == (10, 8, 8, 4)
    path = folder / "alpha" / "case1.png"
    pixels = encoders.resize(np.asarray(PIL.Image.open(path)), 32)[None]
    expected = encoder.apply(encoder.variables, jnp.asarray(pixels) / 255, (1, 3))
    for name, each in zip(("layer_1", "layer_3"), expected, strict=True):
        np.testing.assert_allclose(found[name][:1], each, rtol=1e-4, atol=1e-4)
    pooled = tmp_path / "pooled.npz"
    assert _embed(MODEL, folder / "alpha", "--out", pooled, "--layers", "3,1") == 0
    again = _arrays(pooled)
    for name in ("layer_1", "layer_3"):
        means = found[name].mean(axis=(1, 2))
        np.testing.assert_allclose(again[name], means, rtol=1e-4, atol=1e-5)


def test_parquet_holds_the_same(folder, quick, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "features.parquet"
    assert _embed(QUICK, folder, "--out", out, "--batch", "8") == 0
    table, expected = parquet.read_table(out), _arrays(quick)
    for name in ("file", "slice", "modality", "group", "source"):
        assert table.column(name).to_pylist() == expected[name].tolist()
    np.testing.assert_array_equal(
        np.stack(table.column("features").to_pylist()), expected["features"]
    )
    about = json.loads(table.schema.metadata[b"about"])
    assert about == json.loads(str(expected["about"]))


def test_shards_keep_their_record_numbers(tmp_path, capsys):
    shards, out = tiny_runs.make_shards(tmp_path), tmp_path / "features.npz"
    capsys.readouterr()
    assert _embed(QUICK, shards, "--out", out) == 0
    found = _arrays(out)
    assert found["record"].tolist() == list(range(40))
    # records are dealt to two shards: 0, 2, 4, ... then 1, 3, 5, ...
    numbers = [int(name[1:5]) for name in found["file"]]
    assert numbers == [*range(1, 41, 2), *range(2, 41, 2)]
    plain = tmp_path / "plain.npz"
    assert _embed(QUICK, tmp_path / "images", "--out", plain) == 0
    again = _arrays(plain)
    order = np.argsort(found["file"])
    assert (found["file"][order] == again["file"]).all()
    np.testing.assert_allclose(
        found["features"][order], again["features"], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "f.csv"], "f.csv: features are written as .npz or .parquet"),
        (["--out", "f.npz", "--layers", "9"], "stage 9 must be from 0 to 3"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, words, message):
    assert _embed(MODEL, folder, *words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lvmmed embed: error: ") and message in line


def test_nothing_to_read_leaves_nothing(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert _embed(QUICK, tmp_path / "in", "--out", tmp_path / "f.npz") == 1
    assert "none of 1 files could be read" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("words", [[], [MODEL], [MODEL, "x"], [MODEL, "x", "--out"]])
def test_misuse_ends_with_2(words):
    with pytest.raises(SystemExit) as end:
        _embed(*words)
    assert end.value.code == 2


def _shown(path):
    """The page, without its style and its data."""
    text = path.read_text()
    assert "http" not in re.sub(r'base64,[^"]*', "", text)  # nothing from elsewhere
    return text


def test_the_page_shows_queries_maps_and_overlays(folder, tmp_path, capsys):
    out = tmp_path / "features.npz"
    words = (QUICK, folder, "--out", out, "--neighbours", "3", "--queries", "4")
    assert _embed(*words, "--map", "--overlays", "--layers", "1,2") == 0
    assert f"page: {tmp_path / 'features.html'}" in capsys.readouterr().out
    text = _shown(tmp_path / "features.html")
    assert text.count('class="near asked"') == 4
    near = text[text.index("Nearest images") : text.index("Map of the images")]
    assert near.count("<img ") == 4 * (1 + 3) and near.count("query<br>") == 4
    assert text.count("data-i=") == 45 and "NIfTI" not in text
    overlays = text[text.index("Feature maps") :]
    assert overlays.count("<img ") == 4 * (1 + 2) and "layer 1 has 8×8" in overlays
    for name in ("case", "alpha", "brain.nii"):
        assert name not in text
    # features are there: the page alone is made again
    before = out.stat().st_mtime_ns
    assert _embed(*words, "--layers", "1,2", "--page", tmp_path / "b.html") == 0
    assert "Feature maps" not in _shown(tmp_path / "b.html")
    assert out.stat().st_mtime_ns == before


def test_folders_colour_the_map_where_that_is_asked_for(folder, tmp_path, capsys):
    words = (QUICK, folder, "--out", tmp_path / "f.npz", "--map", "--colour", "folder")
    assert _embed(*words, "--sample", "30") == 0
    text = _shown(tmp_path / "f.html")
    assert "alpha (" in text and "omega (" in text and text.count("data-i=") == 30
    assert "case" not in text and "shows names of files or folders" in text


def test_shards_have_pages_too_but_no_folders(tmp_path, capsys):
    shards, out = tiny_runs.make_shards(tmp_path), tmp_path / "f.npz"
    assert _embed(QUICK, shards, "--out", out, "--map", "--neighbours", "2") == 0
    assert "record 39" in _shown(tmp_path / "f.html")
    assert _embed(QUICK, shards, "--out", out, "--map", "--colour", "folder") == 1
    assert "shards hold no folders" in capsys.readouterr().err
