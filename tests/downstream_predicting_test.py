"""Results of `predict`: names, what is there already, lines that were cut."""

import csv

import numpy as np
import PIL.Image
import pytest

from data_pipelines.labels import batches
from lvmmed_jax.downstream import predicting, predictions, trained


def _network(segments=False, multi_label=False, digest="1"):
    """A network that tells how bright a picture is; three classes of masks."""

    def apply(model, squares):
        value = squares.astype(np.float32).mean(axis=(1, 2, 3)) / 255
        chances = np.stack([1 - value, value], axis=1)
        if not segments:
            return chances
        planes = squares[..., 0] // 100  # 0, 1, 2
        return np.eye(3, dtype=np.float32)[planes]

    names = ("background", "3", "7") if segments else ("dark", "bright")
    extra = {
        "target": {"class_names": names, "multi_label": multi_label},
        "mask_values": [0, 3, 7],
        "digests": {"model": {"w": digest}},
    }
    predictor = predictions.Predictor(apply, batches.Form(8, 1, False), 4, segments)
    return trained.Trained(3, None, extra, predictor, {}, False)


def _pictures(folder, **levels):
    for name, level in levels.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.full((10, 14), level, np.uint8)).save(path)
    return folder


def _rows(out):
    with (out / "predictions.csv").open(newline="") as file:
        return list(csv.reader(file))


def test_what_is_there_is_left_alone_and_a_cut_line_is_written_anew(tmp_path):
    folder, out = _pictures(tmp_path / "in", a=10, b=200, c=30), tmp_path / "out"
    pictures = predicting.find([str(folder)])
    assert predicting.run(_network(), pictures, out) == (3, 0, [])
    whole = _rows(out)
    assert [row[:2] for row in whole[1:]] == [
        ["a", "dark"],
        ["b", "bright"],
        ["c", "dark"],
    ]
    table = out / "predictions.csv"
    table.write_text(table.read_text()[:-12])  # killed while it wrote
    assert predicting.run(_network(), pictures, out) == (1, 2, [])
    assert _rows(out) == whole


def test_masks_have_the_values_of_the_data_and_folders_stay(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    _pictures(folder / "deep", a=10, b=150)
    _pictures(folder, c=250)
    found = predicting.find([str(folder)])
    assert predicting.run(_network(segments=True), found, out)[0] == 3
    for name, value in (("deep/a", 0), ("deep/b", 3), ("c", 7)):
        mask = np.asarray(PIL.Image.open(out / f"{name}.png"))
        assert mask.shape == (10, 14) and (mask == value).all()


def test_several_labels_stand_in_one_cell(tmp_path):
    folder = _pictures(tmp_path / "in", a=10)
    found = predicting.find([str(folder / "a.png")])
    predicting.run(_network(multi_label=True), found, tmp_path / "out")
    assert _rows(tmp_path / "out")[1][:2] == ["a", "dark"]


def test_results_of_two_networks_do_not_mix(tmp_path):
    found = predicting.find([str(_pictures(tmp_path / "in", a=10))])
    predicting.run(_network(), found, tmp_path / "out")
    with pytest.raises(ValueError, match="another network: give another --out"):
        predicting.run(_network(digest="2"), found, tmp_path / "out")


def test_two_pictures_of_one_name_are_refused(tmp_path):
    folder = _pictures(tmp_path / "in", a=10)
    (folder / "a.png").rename(folder / "a.jpeg")
    _pictures(folder, a=10)
    with pytest.raises(ValueError, match="have one name"):
        predicting.find([str(folder)])
    with pytest.raises(FileNotFoundError, match="no such file"):
        predicting.find([str(tmp_path / "nothing")])
    (tmp_path / "empty").mkdir()
    whole = _pictures(tmp_path / "whole", b=10)
    with pytest.raises(ValueError, match="empty holds no picture to predict on"):
        predicting.find([str(whole), str(tmp_path / "empty")])
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(ValueError, match=r"notes\.txt is no picture"):
        predicting.find([str(whole), str(tmp_path / "notes.txt")])


@pytest.mark.parametrize("out", ["in", "in/masks", ""])
def test_results_do_not_lie_among_the_pictures(tmp_path, out):
    folder = _pictures(tmp_path / "in", a=10)
    with pytest.raises(ValueError, match="give --out a folder apart"):
        predicting.check_apart([str(folder)], tmp_path / out)
    predicting.check_apart([str(folder), str(folder / "a.png")], tmp_path / "out")
