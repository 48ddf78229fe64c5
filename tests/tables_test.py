"""CSV and .npz: labels of each kind, groups, splits, refusals."""

import numpy as np
import pytest
from labelled_files import CONTEXT, npz, picture, save

from data_pipelines.labels import examples, layouts, tables


@pytest.fixture
def table(tmp_path):
    for index in range(6):
        save(tmp_path / "p" / f"{index}.png", picture(index))

    def write(text):
        (tmp_path / "a.csv").write_text(text, encoding="utf-8-sig")
        return tmp_path / "a.csv"

    return write


def find(data):
    return layouts.find(str(data), CONTEXT)


def refused(data, pattern):
    with pytest.raises(ValueError, match=pattern) as error:
        find(data)
    assert "\n" not in str(error.value)


def test_rows_with_groups_and_splits(table):
    found = find(
        table(
            "path,label,group,split,age\np/0.png,sick,doe,train,9\n"
            "p/1.png,well,,Validation,9\np/2.png,sick,roe,TEST,9\n"
        )
    )
    assert found.kind == examples.CLASSES and found.class_names == ("sick", "well")
    assert [each.group for each in found.examples] == ["doe", None, "roe"]
    assert [each.part for each in found.examples] == ["train", "val", "test"]
    assert found.examples[0].image.path.is_file()


def test_whole_numbers_are_grades_in_their_order(table):
    rows = "".join(f"p/{i}.png,{grade}\n" for i, grade in enumerate([10, 0, 2]))
    found = find(table("path,label\n" + rows))
    assert found.class_names == tuple(str(grade) for grade in range(11))
    rows = "p/0.png,205\np/1.png,820\n"  # not grades: too far apart
    assert find(table("path,label\n" + rows)).class_names == ("205", "820")


def test_several_labels_a_row(table):
    found = find(table("path,label\np/0.png,b|a\np/1.png,\np/2.png,c\n"))
    assert found.kind == examples.LABELS and found.class_names == ("a", "b", "c")
    assert [each.label for each in found.examples] == [("a", "b"), (), ("c",)]


def test_rows_that_cannot_be_used_are_counted(table):
    found = find(
        table(
            "path,label\np/0.png,a\np/0.png,a\np/9.png,a\n,a\np/1.png,\np/2.png,b\n"
            "../../etc/passwd,b\n"
        )
    )
    assert [each.image.path.name for each in found.examples] == ["0.png", "2.png"]
    assert examples.counts(found.notes) == {
        tables.NO_FILE: 3,
        tables.NO_LABEL: 1,
        tables.TWICE: 1,
    }
    assert all("etc" not in str(note) for note in found.notes)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("file,label\n", "no column 'path'"),
        ("path,label\np/0.png,1\np/1.png,x\n", "numbers in 1 rows and words in 1"),
        ("path,label,split\np/0.png,a,later\n", "row 1: split must be train, val or"),
        ("path,label\np/0.png,a,b\n", "row 1 has more cells"),
        ("path,label\np/7.png,a\n", "no row with a file and a label"),
        ("", "no column"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(table, text, pattern):
    refused(table(text), pattern)


def test_medmnist_keeps_its_split(tmp_path):
    path = npz(tmp_path / "a.npz", {"train": [[0], [3]], "val": [[1]], "test": [[0]]})
    found = find(path)
    assert found.kind == examples.CLASSES
    assert found.class_names == ("0", "1", "2", "3")  # graded: 2 keeps its place
    told = [(each.label, each.part, each.image.index) for each in found.examples]
    assert told == [
        ("0", "train", 0),
        ("3", "train", 1),
        ("1", "val", 0),
        ("0", "test", 0),
    ]


def test_medmnist_with_several_labels(tmp_path):
    path = npz(tmp_path / "a.npz", {"train": [[0, 1, 1]], "test": [[0, 0, 0]]})
    found = find(path)
    assert found.kind == examples.LABELS and found.class_names == ("0", "1", "2")
    assert [each.label for each in found.examples] == [("1", "2"), ()]


@pytest.mark.parametrize(
    ("labels", "more", "pattern"),
    [
        ({"train": [[0]]}, {}, "needs the arrays train_images"),
        ({"train": [[0]], "test": [[0, 1]]}, {}, r"have \[1, 2\] columns"),
        ({"train": [[0]], "test": [[0.5]]}, {}, "test_labels is float64"),
        ({"train": [[0]], "test": [[-1]]}, {}, "numbers under 0"),
        ({"train": [[0, 2]], "test": [[0, 1]]}, {}, "not 0 and 1"),
        (
            {"train": [[0]], "test": [[0]]},
            {"train_images": np.zeros((1, 8, 8), np.float32)},
            "train_images is float32, not uint8",
        ),
        (
            {"train": [[0]], "test": [[0]]},
            {"train_images": np.zeros((1, 8, 8, 8), np.uint8)},
            r"\[1, 8, 8, 8\], not \[n, H, W\]",
        ),
        (
            {"train": [[0]], "test": [[0]]},
            {"train_images": np.zeros((2, 8, 8), np.uint8)},
            "2 train_images, 1 labels",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, labels, more, pattern):
    refused(npz(tmp_path / "a.npz", labels, **more), pattern)


def test_a_damaged_npz_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK broken")
    refused(tmp_path / "a.npz", "no .npz file, or damaged")
