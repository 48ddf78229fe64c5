"""The `inspect` command: what it counts and shows, and how it refuses."""

import base64
import io
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from array_record.python import array_record_module

from data_pipelines import manifest, records
from lvmmed_jax import command_line, progress
from lvmmed_jax.inspection import page, sheet, stored

RNG = np.random.default_rng(0)
SIZE = 64
RARE = 7  # the largest grey level of the only NM image


def _record(pixels, **fields):
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    fields = {
        "image": buffer.getvalue(),
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "channels": 1 if pixels.ndim == 2 else 3,
        "bits": 8,
        "organ": None,
        "spacing": None,
        "slice": None,
        "source": "brains",
        "intensity_rule": "8bit",
    } | fields
    return records.Record(**fields)


def _set():
    """40 MR in two volumes, one bright NM alone, 20 wide US in colour."""
    grey = RNG.integers(10, 256, (40, 48, 32), np.uint8)
    for index, pixels in enumerate(grey):
        group = ("a" if index < 30 else "b") * 32
        rest = {"group": group, "slice": index, "intensity_rule": "percentile_1_99"}
        yield _record(pixels, modality="MR", organ="BRAIN", spacing=[0.5, 2.0], **rest)
    rare = np.tile(np.arange(RARE + 1, dtype=np.uint8), (SIZE, 1))
    yield _record(rare, modality="NM", group="c" * 32, label=1, mask=b"\x89PNG")
    colour = RNG.integers(10, 256, (20, 16, SIZE, 3), np.uint8)
    for index, pixels in enumerate(colour):
        group = f"{index:032d}"
        yield _record(pixels, modality="US", source="breast", group=group, label=0)


def _write(folder, encoded, num_shards=2):
    """Shards with a manifest as `prepare` makes them."""
    folder.mkdir()
    paths = [folder / f"x-{k:05d}.array_record" for k in range(num_shards)]
    for start, path in enumerate(paths):
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        for data in encoded[start::num_shards]:
            writer.write(data)
        writer.close()
    made = {
        "version": manifest.VERSION,
        "records": len(encoded),
        "size": SIZE,
        "counts": {"brains": {"MR": 40, "NM": 1}, "breast": {"US": 20}},
        "intensity": 1,
        "flags": {"burned_in": 4},
        "salt_fingerprint": "0123456789abcdef",
        "taken": [
            {"file": "#0001 aaaaaaaaaaaa", "records": 61, "dropped": {"constant": 3}}
        ],
        "skipped": [
            {"file": "#0002 bbbbbbbbbbbb", "reason": "same pixels as #0001"},
            {"file": "#0003 cccccccccccc", "reason": "same pixels as #0002"},
            {"file": "#0004 dddddddddddd", "reason": "no pixel data"},
            {"file": "#0005 eeeeeeeeeeee", "reason": "2 x small; 1 x no pixel data"},
        ],
        "sha256": {path.name: "" for path in paths},
        "bytes": {path.name: path.stat().st_size for path in paths},
    }
    (folder / manifest.NAME).write_text(json.dumps(made))
    return folder


@pytest.fixture
def shards(tmp_path):
    return _write(tmp_path / "shards", list(map(records.encode, _set())))


def run(*arguments):
    return command_line.main(["inspect", *map(str, arguments)])


def answer(capsys, *arguments):
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def pictures(path):
    """The images of a page: (modality, pixels)."""
    pattern = r'<img alt="(\w+)" src="data:image/png;base64,([^"]+)"'
    return [
        (name, np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(data)))))
        for name, data in re.findall(pattern, path.read_text())
    ]


def test_counts_are_those_of_the_records(shards, capsys):
    found = answer(capsys, shards)
    assert (found["records"], found["read"], found["sampled"]) == (61, 61, False)
    assert found["counts"] == {"brains": {"MR": 40, "NM": 1}, "breast": {"US": 20}}
    assert list(found["images"]) == ["MR", "US", "NM", "all"]
    everything = found["images"]["all"]
    assert everything["height"] == {"min": 16, "median": 48, "max": 64}
    assert everything["width"] == {"min": 8, "median": 32, "max": 64}
    assert everything["at_bound"] == 21 and everything["rgb"] == 20
    assert everything["in_volumes"] == everything["spacing_known"] == 40
    assert found["images"]["MR"]["spacing_mm"] == {"min": 2, "median": 2, "max": 2}
    assert found["images"]["US"]["spacing_mm"] is None
    assert found["channels"] == {"1": 41, "3": 20}
    assert found["intensity_rules"] == {"percentile_1_99": 40, "8bit": 21}
    assert found["organs"] == {"BRAIN": 40, "none": 21}
    groups = {"records": 41, "groups": 3, "median": 10, "largest": 30}
    assert found["groups"]["brains"] == groups
    assert found["groups"]["all"]["groups"] == 23
    assert found["labels"] == {"labels": {"0": 20, "1": 1}, "masks": 1, "boxes": 0}


def test_facts_of_the_manifest(shards, capsys):
    found = answer(capsys, shards)
    assert found["files"] == {"taken": 1, "skipped": 4}
    assert found["skipped"] == {
        "same pixels as another": 2,
        "no pixel data": 1,
        "small; no pixel data": 1,
    }
    assert found["dropped"] == {"constant": 3} and found["flags"] == {"burned_in": 4}
    sizes = [path.stat().st_size for path in shards.glob("*.array_record")]
    assert found["bytes"] == sum(sizes) and found["num_shards"] == 2
    assert (found["intensity_table"], found["size"]) == (1, SIZE)
    assert found["salt_fingerprint"] == "0123456789abcdef"
    assert found["shards"] == str(shards)
    assert found["page"] == str(shards / "inspect.html")


def test_grey_levels_are_the_mean_over_images(shards, capsys):
    levels = answer(capsys, shards)["levels"]
    assert levels["NM"] == {"mean": RARE / 2, "at_0": 1 / (RARE + 1), "at_255": 0}
    pixels = [records.image(one) for one in _set() if one.modality == "MR"]
    assert levels["MR"]["at_0"] == 0
    assert abs(levels["MR"]["mean"] - np.mean(pixels)) < 1.0  # other random pixels


def test_text_is_aligned_and_names_the_page(shards, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    assert run(shards, "--out", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "All 61 records were read." and lines[-1] == f"page: {out}"
    assert out.is_file() and not (shards / "inspect.html").exists()
    start = lines.index("Sources and modalities")
    assert lines[start + 1 : start + 5] == [
        "  source  modality  records  share",
        "  brains  MR             40  65.6%",
        "  brains  NM              1   1.6%",
        "  breast  US             20  32.8%",
    ]


def test_sheet_shows_each_modality_at_its_own_shape(shards):
    assert run(shards, "--images", "3") == 0
    shown = pictures(shards / "inspect.html")
    names = [name for name, _ in shown]
    assert names == ["MR"] * 3 + ["US"] * 3 + ["NM"]
    shapes = {name: pixels.shape for name, pixels in shown}
    assert shapes == {"MR": (48, 32), "US": (16, 64, 3), "NM": (64, 8)}
    assert shown[-1][1].max() == RARE


def test_sheet_prefers_many_groups():
    numbered = [(number, "long") for number in range(50)] + [(50, "short")]
    chosen = sheet.varied(numbered, 3)
    assert len(set(chosen)) == 3 and 50 in chosen and 25 in chosen


def test_large_images_are_averaged_down(tmp_path):
    thumbnail = sheet.uri(RNG.integers(0, 256, (4 * sheet.SIDE, 8), np.uint8))
    data = base64.b64decode(thumbnail.split(",")[1])
    assert PIL.Image.open(io.BytesIO(data)).size == (2, sheet.SIDE)


def test_page_is_self_contained_and_names_nobody(shards, capsys):
    assert run(shards) == 0
    written = (shards / "inspect.html").read_text()
    printed = capsys.readouterr().out
    links = re.sub(r'xmlns(:\w+)?="[^"]*"', "", written)  # names, fetched by nobody
    assert not re.search(r"https?:|<script|<link|@import|url\((?!#)", links)
    for secret in ("a" * 32, "b" * 32, "c" * 32, "#0001", "aaaaaaaaaaaa"):
        assert secret not in written and secret not in printed
    assert "same pixels as another" in written and "ultrasound" in written
    assert written.count("<svg") == 3
    assert not list(shards.glob("*.partial"))


def test_sample_says_so_and_still_shows_the_rare(shards, capsys):
    found = answer(capsys, shards, "--sample", "15")
    assert found["sampled"] and found["read"] == 15 and found["records"] == 61
    assert found["images"]["all"]["read"] == 15 and "NM" not in found["images"]
    assert found["counts"]["brains"] == {"MR": 40, "NM": 1}  # of the whole set
    shown = [name for name, _ in pictures(shards / "inspect.html")]
    assert shown.count("NM") == 1
    assert run(shards, "--sample", "15") == 0
    text = capsys.readouterr().out
    assert text.startswith("A sample: 15 of 61 records were read, evenly spread")
    assert "in the sample" in text
    assert "A sample: 15 of 61" in (shards / "inspect.html").read_text()


def test_a_modality_that_is_not_found_is_told(shards):
    assert run(shards, "--sample", "1") == 0
    assert "None among the records" in (shards / "inspect.html").read_text()


def test_sample_is_spread_evenly():
    assert stored.spread(10, 20).tolist() == list(range(10))
    assert stored.spread(1000, 4).tolist() == [125, 375, 625, 875]


def test_log_says_how_far_it_is(shards, capsys, monkeypatch):
    assert run(shards) == 0
    assert capsys.readouterr().err == ""  # done before the first line is due
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    assert run(shards) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"inspect: 61/61  [\d.]+ records/s  0 s left", last), last


def refusal(capsys, *arguments):
    assert run(*arguments) == 1
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and not output.out
    return output.err


def test_folder_without_manifest_is_left_alone(tmp_path, capsys):
    folder = tmp_path / "empty"
    folder.mkdir()
    assert "no manifest.json" in refusal(capsys, folder, "--out", folder / "a" / "b")
    assert not list(folder.iterdir())
    made = {"version": manifest.VERSION, "bytes": {}}
    (folder / manifest.NAME).write_text(json.dumps(made))
    assert "damaged" in refusal(capsys, folder)


@pytest.mark.parametrize("where", ["content", "all"])
def test_damaged_shard_is_named(shards, capsys, where):
    path = sorted(shards.glob("*.array_record"))[1]
    data = bytearray(path.read_bytes())
    if where == "content":
        data[2000] ^= 0xFF
    else:
        data[:] = bytes(len(data))
    path.write_bytes(data)
    line = refusal(capsys, shards)
    assert path.name in line and "damaged" in line
    assert not (shards / "inspect.html").exists()


def test_damaged_image_and_missing_records_are_told(tmp_path, capsys):
    whole = list(_set())
    cut = whole[0]._replace(image=whole[0].image[:400])
    other = whole[0]._replace(height=1)
    for name, last in (("cut", cut), ("other", other)):
        encoded = [records.encode(one) for one in [*whole[:40], last]]
        assert "record 20: its image is" in refusal(
            capsys, _write(tmp_path / name, encoded)
        )
    path = tmp_path / "cut" / manifest.NAME
    path.write_text(path.read_text().replace('"records": 41', '"records": 99'))
    assert "hold 41 records" in refusal(capsys, tmp_path / "cut")


def test_page_that_cannot_be_written_is_told_before_the_reading(
    shards, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(stored, "read", None)  # would fail otherwise
    file = tmp_path / "file"
    file.write_text("mine")
    assert f"{shards}: a folder" in refusal(capsys, shards, "--out", shards)
    assert str(file) in refusal(capsys, shards, "--out", file / "page.html")
    assert "/proc/x.html" in refusal(capsys, shards, "--out", "/proc/x.html")
    assert file.read_text() == "mine"


def test_failed_writing_leaves_the_page_that_was_there(shards, capsys, monkeypatch):
    out = shards / "inspect.html"
    out.write_text("before")

    def full(path, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_text", full)
    line = refusal(capsys, shards)
    assert str(out) in line and "No space left" in line
    assert out.read_text() == "before" and not list(shards.glob("*.partial"))


def test_what_was_read_is_escaped():
    rows = page._section(page.tables.Table("<b>", "", ("", ""), [("<i>", "<u>")]))
    assert not re.search("<[biu]>", rows)


@pytest.mark.parametrize("option", ["--images", "--sample"])
def test_misuse_ends_with_2(option):
    with pytest.raises(SystemExit) as end:
        run("x", option, "0")
    assert end.value.code == 2


def test_help_shows_examples_and_nothing_needs_jax(shards):
    code = (
        "import sys; from lvmmed_jax import command_line\n"
        "try: command_line.main(['inspect', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'numpy', 'PIL', 'matplotlib', 'rich'} & set(sys.modules)\n"
        f"assert command_line.main(['inspect', {str(shards)!r}]) == 0\n"
        "assert not {'jax', 'grain', 'flax'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout
