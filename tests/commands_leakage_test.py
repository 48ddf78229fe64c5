"""The `leakage` command: what it finds among the pre-training images, and how."""

import json
import shutil

import dicom_files
import nibabel
import numpy as np
import PIL.Image
import pytest
import skimage

from lvmmed_jax import command_line

RETINA = skimage.data.retina()[300:, 300:, 1]


def tile(row, column):
    return PIL.Image.fromarray(RETINA[128 * row :, 128 * column :][:128, :128])


@pytest.fixture
def trained(tmp_path):
    """Shards of pictures and of DICOM files of one patient; the arguments they need."""
    folder = tmp_path / "trained"
    folder.mkdir()
    for number in range(8):
        tile(number // 4, number % 4).save(folder / f"IM-{number}.png")
    tile(3, 3).save(folder / "Doe_liver_7.png")
    write_dicom(folder / "one.dcm", seed=1)
    salt = ["--salt-file", str(tmp_path / "salt"), "--workers", "0"]
    out = str(tmp_path / "shards")
    words = ["prepare", str(folder), "--out", out, "--size", "96", *salt]
    assert command_line.main(words) == 0
    return ["--against", out, *salt]


def write_dicom(path, *, seed, **elements):
    pixels = np.random.default_rng(seed).integers(0, 900, (64, 64), np.uint16)
    known = {
        "PatientID": "ID-4711",
        "StudyInstanceUID": "1.2.1",
        "SeriesInstanceUID": "1.2.2",
        "SOPInstanceUID": "1.2.3",
    }
    dicom_files.write(path, pixels, **known | elements)


@pytest.fixture
def test(tmp_path):
    folder = tmp_path / "test"
    (folder / "benign").mkdir(parents=True)
    (folder / "malignant").mkdir()
    return folder


def leaks(capsys, test, *words):
    """Exit code, and {file number: kinds}."""
    capsys.readouterr()
    code = command_line.main(["leakage", str(test), *words, "--json"])
    answer = json.loads(capsys.readouterr().out)
    found = {}
    for leak in answer["leaks"]:
        found.setdefault(int(leak["file"][1:5]), set()).add(leak["kind"])
    assert answer["leaked"] == len(found)
    return code, found, answer


def test_what_was_not_trained_on_is_clean(trained, test, capsys):
    for number in range(4):
        tile(2, number).save(test / "benign" / f"IM-{number}.png")  # names of all sets
    code, found, answer = leaks(capsys, test, *trained)
    assert (code, found, answer["two_folders"]) == (0, {}, [])
    assert command_line.main(["leakage", str(test), *trained]) == 0
    assert "0 of 4 test files" in capsys.readouterr().out


def test_content_is_found_whatever_its_name_and_form(trained, test, capsys):
    tile(0, 0).save(test / "benign" / "1.png")
    tile(0, 1).save(test / "benign" / "2.jpg", quality=70)
    tile(0, 2).resize((90, 90)).point(lambda x: 0.9 * x).save(test / "benign" / "3.png")
    tile(2, 0).save(test / "benign" / "4.png")
    code, found, _ = leaks(capsys, test, *trained)
    assert code == 1
    assert found == {1: {"same image"}, 2: {"near copy"}, 3: {"near copy"}}


def test_patient_study_volume_instance_and_name_are_found(trained, test, capsys):
    new = {
        "PatientID": "ID-1",
        "StudyInstanceUID": "1.3.1",
        "SeriesInstanceUID": "1.3.2",
        "SOPInstanceUID": "1.3.3",
    }
    folder = test / "benign"
    write_dicom(folder / "1.dcm", seed=2, **new)
    for number, name in enumerate(new, start=2):
        known = {key: value for key, value in new.items() if key != name}
        write_dicom(folder / f"{number}.dcm", seed=number + 1, **known)
    tile(2, 1).save(folder / "doe_liver_7.tif")
    code, found, _ = leaks(capsys, test, *trained)
    assert code == 1
    kinds = [{"patient"}, {"study"}, {"volume"}, {"instance"}, {"name"}]
    assert found == dict(zip(range(2, 7), kinds, strict=True))


def test_one_image_under_two_labels_is_told(trained, test, capsys):
    tile(2, 0).save(test / "benign" / "1.png")
    tile(2, 0).save(test / "malignant" / "2.png")
    tile(2, 1).save(test / "malignant" / "3.png")
    code, found, answer = leaks(capsys, test, *trained)
    assert (code, found) == (1, {})
    ((one, other),) = answer["two_folders"]
    assert one.startswith("#0001 ") and other.startswith("#0002 ")


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("images/benign/case_a12.png", {1}),
        ("CASE_A12.nii.gz", {1}),
        ("patient_9b", {2, 3}),  # a folder: all that lies in it
        ("patient_9b/IM-2.png", {3}),
        ("IM-2.png", set()),  # a name that all sets have
        ("some/path/1.2.2", {4}),  # a series
        ("some/path/1.2.2.dcm", {4}),
        ("ID-4711", {4}),  # a patient
        ("other/patient_9b/train/IM-2.png", set()),  # another folder
        ("malignant/patient_9b/IM-2.png", {3}),
        ("other/patient_9c/IM-2.png", set()),
        ("1.2.840.77", {5}),  # a UID as the name of a picture
        ("brats.777.nii.gz", set()),  # dots are part of names
        ("brats.001.png", {6}),
        ("case_a1", set()),
        ("", set()),
    ],
)
def test_official_lists(test, tmp_path, capsys, line, numbers):
    tile(0, 0).save(test / "benign" / "case_a12.png")
    (test / "malignant" / "patient_9b").mkdir()
    for number in (1, 2):
        tile(1, number).save(test / "malignant" / "patient_9b" / f"IM-{number}.png")
    write_dicom(test / "z.dcm", seed=1)
    (test / "zz").mkdir()
    for number, name in enumerate(["1.2.840.77", "brats.001"]):
        tile(2, number).save(test / "zz" / f"{name}.png")
    lists = tmp_path / "lists" / "0_SSL_Set"
    lists.mkdir(parents=True)
    (lists / "file_list.txt").write_text(f"another_case\n{line}\n")
    words = ["--names", str(tmp_path / "lists"), "--workers", "0"]
    code, found, answer = leaks(capsys, test, *words)
    assert set(found) == numbers and code == int(bool(numbers))
    assert {leak["where"] for leak in answer["leaks"]} <= {"0_SSL_Set"}


def test_paths_are_printed_on_demand_only(trained, test, capsys):
    tile(0, 0).save(test / "benign" / "Mustermann.png")
    for words, shown in (([], False), (["--show-names"], True)):
        capsys.readouterr()
        assert command_line.main(["leakage", str(test), *trained, *words]) == 1
        assert ("Mustermann" in "".join(capsys.readouterr())) is shown


def test_mistakes_are_one_line(trained, test, tmp_path, capsys):
    tile(0, 0).save(test / "benign" / "1.png")
    (tmp_path / "other").write_text("00" * 32)
    against = trained[:2]
    for words, text in [
        ([*against, "--salt-file", str(tmp_path / "other")], "made with another salt"),
        ([*against, "--salt-file", str(tmp_path / "no")], "no salt there"),
        (["--against", str(tmp_path)], "no salt there"),
        (["--names", str(tmp_path / "benign")], "no list of names"),
    ]:
        capsys.readouterr()
        assert command_line.main(["leakage", str(test), *words]) == 1
        error = capsys.readouterr().err
        assert text in error and error.count("\n") == 1
    assert not (tmp_path / "no").exists()


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_held_back_parts_of_an_archive_are_compared(tmp_path, capsys):
    folder = tmp_path / "trained"
    folder.mkdir()
    images = np.stack([np.asarray(tile(2, number)) for number in range(4)])
    for number in range(4):
        tile(2, number).save(folder / f"doe_{number}.png")
    salt = ["--salt-file", str(tmp_path / "salt"), "--workers", "0"]
    out = str(tmp_path / "shards")
    words = ["prepare", str(folder), "--out", out, "--size", "96", *salt]
    assert command_line.main(words) == 0
    np.savez(tmp_path / "med.npz", train_images=images[:1], test_images=images)
    capsys.readouterr()
    words = ["leakage", str(tmp_path / "med.npz"), "--against", out, *salt, "--json"]
    assert command_line.main(words) == 1
    assert json.loads(capsys.readouterr().out)["leaked"] == 1


def test_parts_of_the_catalogue_are_read_as_they_were_prepared(tmp_path, capsys):
    folder = tmp_path / "kits"
    for number in range(4):
        path = folder / f"case_{number:05d}" / "imaging.nii.gz"
        path.parent.mkdir(parents=True)
        values = np.random.default_rng(number).normal(40, 150, (64, 64, 4))
        nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), np.eye(4)), path)
    salt = ["--salt-file", str(tmp_path / "salt"), "--workers", "0"]
    out = str(tmp_path / "shards")
    words = ["prepare", str(folder), "--dataset", "KiTS19", "--out", out, *salt]
    assert command_line.main(words) == 0
    test = tmp_path / "test"
    test.mkdir()
    for path in folder.rglob("*.nii.gz"):
        shutil.copy(path, test / f"scan_of_{path.parent.name}.nii.gz")
    capsys.readouterr()
    words = ["leakage", str(test), "--against", out, *salt, "--json"]
    assert command_line.main(words) == 1
    assert json.loads(capsys.readouterr().out)["leaked"] == 1  # the one that was drawn
