"""What the user names, as a list of files."""

import contextlib
import os
import pickle

import dicom_files
import nibabel
import numpy as np
import PIL.Image
import pytest

from data_pipelines import folders, pool, slices, sources, workers


def expand(source, **settings):
    context = slices.Context(modality=settings.pop("modality", None))
    defaults = {"dataset": None, "context": context, "first": 1}
    return sources.expand(str(source), **defaults | settings)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    picture = PIL.Image.fromarray(np.eye(40, dtype=np.uint8))
    for name in ("images/10.png", "images/9.PNG", "labels/9.png"):
        picture.save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("hello")
    return tmp_path


def test_every_file_is_listed_in_the_order_of_numbers(folder):
    inputs = expand(folder, first=5)
    assert [entry.numbers for entry in inputs] == [(5,), (6,), (7,), (8,)]
    names = [entry.paths[0].relative_to(folder).as_posix() for entry in inputs]
    assert names == ["images/9.PNG", "images/10.png", "labels/9.png", "notes.txt"]


def test_labels_and_other_files_are_skipped_with_a_reason(folder):
    nine, _, label, notes = expand(folder, modality="US")
    assert [piece.modality for piece in nine.read(nine.paths)] == ["US"]
    with pytest.raises(slices.SkippedError, match="label"):
        list(label.read(label.paths))
    with pytest.raises(slices.SkippedError, match="not an image format"):
        list(notes.read(notes.paths))


def test_one_file_and_dataset_name(folder):
    (entry,) = expand(folder / "images" / "10.png", dataset="mine")
    assert entry.source == "mine"
    assert [piece.pixels.shape for piece in entry.read(entry.paths)] == [(40, 40)]


def test_dicom_is_found_without_an_extension(tmp_path):
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (entry,) = expand(tmp_path)
    with pytest.raises(slices.SkippedError, match="no pixel data"):
        list(entry.read(entry.paths))


def test_folder_without_image_names_path_and_formats(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(
        ValueError, match=r"no image among 1 files.*PNG.*DICOM"
    ) as error:
        expand(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        expand(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="packaged:mni"):
        expand("packaged:brain")
    with pytest.raises(ValueError, match="modality 'XY'"):
        expand(tmp_path, modality="XY")


def test_inputs_of_several_sources_are_numbered_on(folder):
    inputs = sources.expand_all(
        [str(folder / "images"), str(folder / "images" / "9.PNG")],
        dataset=None,
        context=slices.Context(),
        first=1,
    )
    assert [entry.numbers for entry in inputs] == [(1,), (2,), (3,)]


def test_a_series_is_one_input_and_can_be_sent_to_a_worker(tmp_path):
    ramp = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    for name, uid, modality in [
        ("a1", "1.2.1", "MR"),
        ("b", "1.2.2", "MR"),
        ("a2", "1.2.1", "MR"),
        ("x1", "1.2.3", "DX"),
        ("x2", "1.2.3", "DX"),
    ]:
        path = tmp_path / f"{name}.dcm"
        dicom_files.write(path, ramp, modality=modality, SeriesInstanceUID=uid)
    inputs = expand(tmp_path)
    names = [[path.stem for path in entry.paths] for entry in inputs]
    assert names == [["a1", "a2"], ["b"], ["x1"], ["x2"]]  # two radiographs are two
    assert inputs[0].numbers == (1, 2)
    found = list(pickle.loads(pickle.dumps(inputs[0])).read(inputs[0].paths))
    assert [piece.file for piece in found] == [0, 1]


def test_what_cannot_be_read_is_listed_with_a_reason(folder):
    os.mkfifo(folder / "a_pipe.png")
    (folder / "a_link.png").symlink_to(folder / "nowhere.png")
    (folder / "a_loop").symlink_to(folder)
    inputs = expand(folder)
    reasons = {}
    for entry in inputs[:3]:
        with pytest.raises(slices.SkippedError) as error:
            list(entry.read(entry.paths))
        reasons[entry.paths[0].name] = str(error.value)
    assert len(inputs) == 7
    assert reasons.keys() == {"a_link.png", "a_loop", "a_pipe.png"}
    assert "broken link" in reasons["a_link.png"] and "pipe" in reasons["a_pipe.png"]
    assert "link to a folder" in reasons["a_loop"]


def test_a_folder_that_may_not_be_listed_is_told(folder, monkeypatch):
    """As root may list all, the listing of one folder fails here."""
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("labels"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    inputs = expand(folder)
    assert [entry.paths[0].name for entry in inputs][2] == "labels"
    with pytest.raises(slices.SkippedError, match="may not list"):
        list(inputs[2].read(inputs[2].paths))


@pytest.fixture
def spleen(tmp_path):
    """A set in the layout of the catalogue's MSD-Spleen."""
    for name in ("imagesTr/spleen_2", "imagesTr/spleen_3", "imagesTs/spleen_1",
                 "labelsTr/spleen_2", "labelsTr/spleen_3"):  # fmt: skip
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        values = np.random.default_rng(0).normal(size=(34, 34, 3)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return tmp_path


def test_of_a_source_of_the_paper_only_training_images_are_read(spleen):
    inputs = expand(spleen, dataset="msd-spleen")
    reasons = {}
    for entry in inputs:
        try:
            pieces = list(entry.read(entry.paths))
        except slices.SkippedError as error:
            reasons[entry.paths[0].parent.name] = str(error)
        else:
            assert {piece.organ for piece in pieces} == {"SPLEEN"}
            assert {piece.modality for piece in pieces} == {"CT"}
            assert {piece.identity for piece in pieces} == {
                f"MSD-Spleen {entry.paths[0].name.partition('.')[0]}"
            }
    assert {entry.source for entry in inputs} == {"MSD-Spleen"}
    assert reasons["labelsTr"] == "a label"
    assert reasons["imagesTs"] == "of the official test part"
    assert reasons["imagesTr"] == "not in the random fifth"  # one of two is taken


def test_an_official_list_wins_and_needs_a_source_of_the_paper(spleen):
    inputs = expand(spleen, dataset="MSD-Spleen", lines=["imagesTr/spleen_3.nii.gz"])
    taken = []
    for entry in inputs:
        with contextlib.suppress(slices.SkippedError):
            if list(entry.read(entry.paths)):
                taken.append(entry.paths[0].name)
    assert taken == ["spleen_3.nii.gz"]
    with pytest.raises(ValueError, match="goes with --dataset NAME of the catalogue"):
        expand(spleen, dataset="mine", lines=["spleen_3"])
    with pytest.raises(ValueError, match=r"laid out as KiTS19.*another --dataset"):
        expand(spleen, dataset="KiTS19")


def test_pixel_data_of_a_header_is_no_file_of_its_own(tmp_path):
    values = np.random.default_rng(0).normal(size=(34, 34, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Pair(values, np.eye(4)), tmp_path / "a.hdr")
    header, data = expand(tmp_path)
    assert [entry.paths[0].suffix for entry in (header, data)] == [".hdr", ".img"]
    assert len(list(header.read(header.paths))) == 3
    with pytest.raises(slices.SkippedError, match="of the header beside it"):
        list(data.read(data.paths))


def test_many_files_are_looked_at_in_processes(tmp_path):
    for number in range(400):
        (tmp_path / f"{number}").write_bytes(
            b"\x89PNG\r\n\x1a\n" if number % 2 else b"x"
        )
    told = []
    found = workers.look_all(
        folders.files(tmp_path),
        num_workers=2,
        limits=pool.Limits(),
        progress=told.append,
    )
    assert [look.format for look in found] == [None, "PNG"] * 200
    assert told[-1] == 400 and told == sorted(told)


def test_labels_of_one_series_with_the_images_stay_labels(tmp_path):
    ramp = np.arange(1600, dtype=np.uint16).reshape(40, 40)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            path = tmp_path / folder / f"{number}.dcm"
            dicom_files.write(path, ramp + number, SeriesInstanceUID="1.2.1")
    inputs = expand(tmp_path)
    assert [len(entry.paths) for entry in inputs] == [2, 1, 1]
    with pytest.raises(slices.SkippedError, match="label"):
        list(inputs[1].read(inputs[1].paths))


def test_a_ct_of_the_catalogue_has_the_window_of_its_organ(tmp_path):
    path = tmp_path / "Task06_Lung" / "imagesTr" / "lung_001.nii.gz"
    path.parent.mkdir(parents=True)
    values = np.random.default_rng(0).uniform(-1000, -500, (34, 34, 3))
    nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), np.eye(4)), path)
    (entry,) = expand(tmp_path / "Task06_Lung", dataset="MSD-Lung")
    pieces = list(entry.read(entry.paths))
    assert {piece.intensity_rule for piece in pieces} == {"ct_chest"}
    assert {piece.organ for piece in pieces} == {"LUNG"}
