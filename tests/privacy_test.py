"""Identifiers planted wherever a file can hold them reach nothing that we write."""

import re
import zlib

import jax.numpy as jnp
import nibabel
import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pydicom
import pytest
import tiny_runs
from array_record.python import array_record_module

from data_pipelines import index, manifest, packaged, records
from lvmmed_jax import command_line, encoders
from lvmmed_jax.train import checkpoint

SECRET = "Xq7mustermann"
DATE, UID = "19031107", "1.2.826.0.47110815"
PLANTED = [SECRET, DATE, UID]
TEXT = {"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "CS"}
# without these no reader knows what the pixels are
KEPT = {
    "Modality",
    "PhotometricInterpretation",
    "SOPClassUID",
    "ImageType",
    "VOILUTFunction",
    "SpecificCharacterSet",
}
NUM_DICOM = 12


@pytest.fixture(autouse=True)
def config(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of every format; each text that they hold names the patient."""
    root = tmp_path_factory.mktemp("data") / f"of_{SECRET}"
    (root / f"{SECRET}_{DATE}").mkdir(parents=True)
    inner = root / f"{SECRET}_{DATE}"
    rng = np.random.default_rng(0)
    for number in range(12):
        info = PIL.PngImagePlugin.PngInfo()
        info.add_text("Patient", SECRET)
        info.add_itxt("Comment", SECRET, zip=True)
        exif = PIL.Image.Exif()
        exif[0x010E] = SECRET  # ImageDescription
        exif[0x0132] = DATE  # DateTime
        picture = PIL.Image.fromarray(rng.integers(0, 255, (40, 44), np.uint8))
        picture.save(inner / f"{SECRET}_{number}.png", pnginfo=info, exif=exif)
        picture.save(
            inner / f"{SECRET}_{number}.jpg", exif=exif, comment=SECRET, quality=30
        )
    volume = nibabel.Nifti1Image(rng.normal(size=(40, 40, 3)).astype("f4"), np.eye(4))
    volume.header["descrip"] = volume.header["aux_file"] = SECRET.encode()
    volume.header["intent_name"] = volume.header["db_name"] = SECRET.encode()
    volume.header.extensions.append(
        nibabel.nifti1.Nifti1Extension("comment", SECRET.encode())
    )
    nibabel.save(volume, inner / f"{SECRET}.nii.gz")
    planted = 0
    for path in [path for paths, _ in packaged.dicom_files() for path in paths]:
        if planted < NUM_DICOM and path.stat().st_size < 200_000:
            planted += _plant(path, inner / f"{SECRET}_{path.stem}.dcm")
    assert planted == NUM_DICOM
    (inner / f"{SECRET}_broken.dcm").write_bytes(
        min(inner.glob("*.dcm")).read_bytes()[:-3000]
    )
    (inner / f"{SECRET}_broken.png").write_bytes(b"\x89PNG " + SECRET.encode())
    (inner / f"{SECRET}.txt").write_text(SECRET)
    return root


def _plant(source, target) -> bool:
    """Writes an identifier into every text of a DICOM file, nested and private too."""
    try:
        dataset = pydicom.dcmread(source)
        dataset.file_meta.MediaStorageSOPInstanceUID = UID
        dataset.walk(_overwrite)
        for name in ("PatientName", "PatientID", "StudyDescription", "PatientComments"):
            setattr(dataset, name, SECRET)
        dataset.PatientBirthDate = dataset.StudyDate = DATE
        dataset.StudyInstanceUID = dataset.SeriesInstanceUID = f"{UID}.1"
        dataset.SOPInstanceUID = f"{UID}.{zlib.crc32(source.name.encode())}"
        dataset.BodyPartExamined = SECRET.upper()
        block = dataset.private_block(0x0099, SECRET, create=True)
        block.add_new(0x01, "LO", SECRET)
        block.add_new(0x02, "OB", SECRET.encode() + b" ")
        dataset.save_as(target)
    except Exception:  # one of pydicom's broken files
        target.unlink(missing_ok=True)
        return False
    return True


def _overwrite(dataset, element):
    if element.keyword in KEPT or element.tag.group == 0x0002:
        return
    if element.VR in TEXT:
        element.value = SECRET.upper() if element.VR == "CS" else SECRET
    elif element.VR == "DA":
        element.value = DATE
    elif element.VR == "UI":
        element.value = f"{UID}.2"


def _run(capfd, words, code=0):
    """Runs a command; returns what it printed without the paths that were typed."""
    assert command_line.main(list(map(str, words))) == code
    printed = "".join(capfd.readouterr())
    for word in words:
        printed = printed.replace(str(word), "")
    return printed


def _search(text, where):
    text = text if isinstance(text, bytes) else text.encode()
    for secret in PLANTED:
        assert not re.search(re.escape(secret.encode()), text, re.IGNORECASE), where


def _search_shards(out):
    made = manifest.read(out)
    for path in out.rglob("*"):
        _search(path.name, "a file's name")
        if path.is_file():
            _search(path.read_bytes(), path.name)
    for name in made["sha256"]:
        reader = array_record_module.ArrayRecordReader(str(out / name))
        for data in reader.read_all():
            _search(data, name)
            image = records.decode(data).image
            kinds = set(re.findall(rb"(?:tEXt|zTXt|iTXt|eXIf|tIME)", image[:200]))
            assert not kinds, kinds
        reader.close()
    rows = manifest.read_index(out, made)
    for column in index.Index._fields:
        _search(getattr(rows, column).tobytes(), column)
    return made


def test_the_search_finds_what_is_planted(folder):
    """Else the tests below could not fail."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    for path in paths:
        with pytest.raises(AssertionError):
            _search(path.name, "")
    found = sum(SECRET.encode() in path.read_bytes() for path in paths)
    assert found >= 12 + 12 + NUM_DICOM + 2


@pytest.mark.lengthy
@pytest.mark.parametrize("num_workers", [0, 2])
def test_shards_manifest_logs_and_errors(folder, tmp_path, capfd, num_workers):
    out = tmp_path / "out"
    workers = ["--workers", num_workers]
    prepare = ["prepare", folder, *workers, "--size", 64]
    _search(_run(capfd, [*prepare, "--check"]), "--check")
    _search(_run(capfd, [*prepare, "--out", out]), "prepare")
    _search(_run(capfd, [*prepare, "--out", out, "--json"]), "prepared before")
    _search(_run(capfd, ["prepare", folder, "--out", out, *workers], 1), "refused")
    made = _search_shards(out)
    assert made["records"] >= 24 + NUM_DICOM // 2  # the files were read
    reasons = {entry["reason"] for entry in made["skipped"]}
    assert any("not a PNG" in reason for reason in reasons)
    broken = folder / f"{SECRET}_{DATE}" / f"{SECRET}_broken.png"
    alone = ["prepare", broken, "--out", tmp_path / "no", *workers]
    _search(_run(capfd, alone, 1), "nothing could be read")
    _search(_run(capfd, ["leakage", folder, "--against", out, *workers], 1), "leakage")
    _search(_run(capfd, ["inspect", out]), "inspect")
    _search((out / "inspect.html").read_bytes(), "inspect's page")


def test_features_and_their_page(folder, tmp_path, capfd, monkeypatch):
    def maps(gain, images, stages=()):
        return gain * images.reshape(-1, 4, 8, 4, 8, 3).mean(axis=(2, 4))

    def pool(gain, images):
        return maps(gain, images).mean(axis=(1, 2))

    encoder = encoders.Encoder(maps, jnp.float32(1), 32, 8, pool, None)
    monkeypatch.setattr(encoders, "load", lambda model: encoder)
    out = tmp_path / "features.npz"
    words = ["embed", "model", folder, "--out", out, "--workers", 0, "--neighbours"]
    _search(_run(capfd, [*words, "--map", "--overlays"]), "embed")
    _search(_run(capfd, [*words, "--json"]), "embedded before")
    with np.load(out) as arrays:
        assert len(arrays["features"]) >= 24 + NUM_DICOM // 2
        for name in arrays:
            _search(str(arrays[name].tolist()), name)
    _search(out.with_suffix(".html").read_bytes(), "page")
    with monkeypatch.context() as patch:
        patch.setattr("lvmmed_jax.features.stored.write", _interrupt)
        again = [*words[:4], tmp_path / "other.npz", *words[5:7]]
        _search(_run(capfd, again, 130), "interrupted")
    _search((tmp_path / "other.npz.unfinished").read_bytes(), "journal")


def test_an_unfinished_journal(folder, tmp_path, capfd, monkeypatch):
    """It holds records and keyed hashes, and may lie there for long."""
    monkeypatch.setattr("data_pipelines.shards.assemble", _interrupt)
    out = tmp_path / "out"
    words = ["prepare", folder, "--out", out, "--workers", 0]
    _search(_run(capfd, words, 130), "interrupted")
    _search((out / "unfinished.journal").read_bytes(), "journal")
    assert (out / "unfinished.journal").stat().st_size > 10_000


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.lengthy
def test_work_folder_and_report(folder, tmp_path, capfd):
    out, workdir = tmp_path / "out", tmp_path / "run"
    _run(capfd, ["prepare", folder, "--out", out, "--size", 48, "--workers", 0])
    config_file = tiny_runs.write_config(tmp_path)
    words = ["pretrain", config_file, "--data", out, "--workdir", workdir]
    _search(_run(capfd, [*words, "--train.steps=1"]), "pretrain")
    _search(_run(capfd, ["report", workdir]), "report")
    (step,) = checkpoint.committed_steps(workdir / "checkpoints")
    extra = checkpoint.read_extra(next((workdir / "checkpoints").glob(f"*{step}")))
    _search(repr(extra), "checkpoint")
    for path in workdir.rglob("*"):
        _search(path.name, "a file's name")
        if path.is_file():
            _search(path.read_bytes(), path.name)
    assert (workdir / "report.html").is_file()
