"""What must not be split: named groups, patients, volumes, copies."""

import numpy as np
import PIL.Image
import PIL.ImageEnhance
from dicom_files import write
from labelled_files import class_folders, picture, save, surveyed, volumes

from data_pipelines.labels import groups


def together(found, *, near=True):
    """The sets of examples that form a group of several."""
    of = groups.find(found, near=near).of
    rows = [np.flatnonzero(of == group).tolist() for group in range(of.max() + 1)]
    return [each for each in rows if len(each) > 1]


def test_named_groups_patients_and_volumes(tmp_path):
    for index in range(4):
        save(tmp_path / f"{index}.png", picture(index))
    for index, patient in enumerate(["Doe", "Roe", "Doe"]):
        pixels = picture(10 + index)
        write(tmp_path / f"{index}.dcm", pixels, modality="CR", PatientID=patient)
    rows = ["0.png,a,one", "1.png,b,two", "2.png,a,one", "3.png,b,"]
    rows += [f"{index}.dcm,a," for index in range(3)]
    table = tmp_path / "a.csv"
    table.write_text("path,label,group\n" + "\n".join(rows) + "\n")
    assert together(surveyed(table)) == [[0, 2], [4, 6]]
    scans = surveyed(volumes(tmp_path / "v", 2))
    assert together(scans) == [list(range(5)), list(range(5, 10))]


def test_copies_and_copies_of_copies(tmp_path):
    class_folders(tmp_path, a=4)
    first = PIL.Image.open(tmp_path / "a" / "0.png")
    first.save(tmp_path / "a" / "4.jpg", quality=98)
    PIL.ImageEnhance.Brightness(first).enhance(0.8).save(tmp_path / "a" / "5.png")
    first.save(tmp_path / "a" / "6.png", compress_level=1)  # equal pixels
    found = surveyed(tmp_path)
    assert together(found) == [[0, 4, 5, 6]]
    assert together(found, near=False) == [[0, 6]]


def test_a_chain_is_one_group():
    pairs = np.array([[0, 1, 4], [1, 2, 5]])
    found = groups._components(7, pairs)
    assert found.tolist() == [0, 0, 0, 1, 2, 2, 3]


def test_groups_do_not_depend_on_names_or_order(tmp_path):
    class_folders(tmp_path, a=3, b=2)
    before = groups.find(surveyed(tmp_path), near=True)
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / "9.png")
    after = groups.find(surveyed(tmp_path), near=True)
    assert set(before.members) == set(after.members)


def test_constant_and_tiny_pictures_are_no_near_copies(tmp_path):
    save(tmp_path / "a" / "0.png", np.full((40, 40), 7, np.uint8))
    save(tmp_path / "a" / "1.png", np.full((40, 40), 9, np.uint8))
    save(tmp_path / "a" / "2.png", picture(0, 20, 20))
    save(tmp_path / "a" / "3.png", picture(0, 21, 20))
    assert together(surveyed(tmp_path)) == []
