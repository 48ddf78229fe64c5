import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
import tiny_finetunes

from data_pipelines.labels import batches, layouts
from lvmmed_jax import finetune_config
from lvmmed_jax.downstream import examples, predictions
from lvmmed_jax.tasks import stem
from lvmmed_jax.train import sharding


def _divided(data, tmp_path, seed=0, **fields):
    settings = tiny_finetunes.settings(data=fields).data
    return examples.divide(
        examples.read(str(data)),
        settings,
        seed=seed,
        splits_file=tmp_path / "splits.json",
        salt_file=None,
    )


def test_few_labels_leave_test_and_validation_alone(tmp_path):
    data = tiny_finetunes.bright_and_dark(tmp_path / "data", 20)
    whole, few = _divided(data, tmp_path), _divided(data, tmp_path, labels="2")
    for part in ("val", "test"):
        np.testing.assert_array_equal(whole.rows[part], few.rows[part])
    assert len(few.rows["train"]) == 4
    assert set(few.rows["train"]) < set(whole.rows["train"])
    more = _divided(data, tmp_path, labels="50%")
    assert set(few.rows["train"]) < set(more.rows["train"])
    other = _divided(data, tmp_path, seed=1, labels="2")
    assert set(other.rows["train"]) != set(few.rows["train"])
    assert examples.split_sha256(few) != examples.split_sha256(other)


def test_weights_of_classes_are_scikit_learns(tmp_path):
    from sklearn.utils import class_weight

    data = tmp_path / "data"
    tiny_finetunes.bright_and_dark(data, 16)
    for path in sorted((data / "dark").iterdir())[6:]:
        path.unlink()
    found = _divided(data, tmp_path)
    target = examples.target(found, True)
    labels = [examples.truth(found, row) for row in found.rows["train"]]
    expected = class_weight.compute_class_weight(
        "balanced", classes=np.arange(2), y=np.array(labels)
    )
    np.testing.assert_allclose(target.weights, expected)
    assert examples.target(found, False).weights == ()


def test_several_labels_are_weighed_as_torchs_pos_weight(tmp_path):
    tiny_finetunes.bright_and_dark(tmp_path / "data", 8)
    lines = ["path,label,split"]
    for number in range(8):
        label = ("a", "a|b", "", "b")[number % 4]
        part = "test" if number > 5 else "train"
        lines.append(f"data/dark/{number}.png,{label},{part}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    found = _divided(tmp_path / "labels.csv", tmp_path, val_share=0.0)
    target = examples.target(found, True)
    assert target.multi_label and target.class_names == ("a", "b")
    rows = found.rows["train"]
    only = found._replace(rows={**found.rows, "train": rows[[0, 1]]})
    assert examples.target(only, True).weights == (1.0, 1.0)  # all have a, half b
    # a in 0, 1, 4, 5 and b in 1, 3, 5 of six
    np.testing.assert_allclose(target.weights, [2 / 4, 3 / 3])


def test_native_windows_are_parts_of_the_image_at_random_places(tmp_path):
    data = tiny_finetunes.squares(tmp_path / "data", 8, size=(50, 30))
    found = _divided(data, tmp_path, size=32, native=True)
    settings = tiny_finetunes.settings(data={"size": 32, "native": True}).data
    train = examples.train_batches(found, settings, seed=0, start=0)
    batch, again = next(train), next(train)
    train.close()
    assert batch["image"].shape == (8, 32, 32, 3)
    np.testing.assert_array_equal(batch["inner"], [[32, 30]] * 8)  # narrower than it
    assert not batch["image"][:, :, 30:].any() and not batch["mask"][:, :, 30:].any()
    starts = set()
    for index, image, mask in zip(
        batch["index"], batch["image"], batch["mask"], strict=True
    ):
        whole = examples.picture(found, int(index))
        truth = examples.truth(found, int(index))
        (start,) = (
            row
            for row in range(19)
            if np.array_equal(whole[row : row + 32], image[:, :30, 0])
        )
        np.testing.assert_array_equal(truth[start : start + 32], mask[:, :30])
        starts.add(start)
    assert len(starts) > 2
    assert not np.array_equal(batch["image"], again["image"])
    later = examples.train_batches(found, settings, seed=0, start=1)
    np.testing.assert_array_equal(next(later)["image"], again["image"])
    later.close()


def test_test_images_are_never_changed_or_cut_at_random(tmp_path):
    """The network is shown each test image as it is, resized."""
    data = tiny_finetunes.squares(tmp_path / "data", 12)
    found = _divided(data, tmp_path)
    rows, seen = found.rows["test"], []

    def apply(model, squares):
        seen.extend(squares)
        return np.zeros((*squares.shape[:3], 2), np.float32)

    form = batches.Form(32, 3, False)
    predictor = predictions.Predictor(apply, form, 2, True)
    first, second = (
        list(predictions.each_mask(predictor, {}, found, rows)) for _ in range(2)
    )
    half = len(seen) // 2
    np.testing.assert_array_equal(seen[:half], seen[half:])
    for index, row in enumerate(rows):
        truth = examples.truth(found, int(row))
        assert truth.shape == first[index][1].shape == (40, 48)
        np.testing.assert_array_equal(truth, second[index][0])


def test_data_of_another_kind_is_refused(tmp_path):
    data = tiny_finetunes.bright_and_dark(tmp_path / "data", 6)
    found = _divided(data, tmp_path)
    with pytest.raises(
        ValueError, match=r"has classes; model\.task=segmentation takes"
    ):
        examples.check_task(found.found, "segmentation")
    examples.check_task(found.found, "classification")
    assert layouts.NO_MASK not in found.notes
    with pytest.raises(ValueError, match="for probes"):
        examples.read("packaged:mni")
    assert finetune_config.HEADS.keys() == set(examples._KINDS.values())


def _organs(data):
    """Pictures with the classes 2 and 7."""
    for folder in ("images", "labels"):
        (data / folder).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(6):
        pixels = generator.integers(0, 255, (40, 40), np.uint8)
        PIL.Image.fromarray(pixels).save(data / "images" / f"{number}.png")
        mask = np.zeros((40, 40), np.uint8)
        mask[:10], mask[30:] = 2, 7
        PIL.Image.fromarray(mask).save(data / "labels" / f"{number}.png")
    return data


def test_external_masks_are_read_with_the_values_of_the_network(tmp_path):
    found = examples.read(str(_organs(tmp_path / "data")))
    whole = examples.elsewhere(found, ("background", "2", "5", "7"))
    assert [len(whole.rows[part]) for part in ("train", "val", "test")] == [0, 0, 6]
    assert np.unique(examples.truth(whole, 0)).tolist() == [0, 1, 3]
    with pytest.raises(ValueError, match=r"has background, 2, 7, and the network"):
        examples.elsewhere(found, ("background", "foreground"))


def test_turned_masks_are_other_data(tmp_path):
    data = tiny_finetunes.squares(tmp_path / "data", 4)
    before = _divided(data, tmp_path).sha256
    assert _divided(data, tmp_path).sha256 == before
    path = data / "labels" / "1.png"
    with PIL.Image.open(path) as mask:
        mask.rotate(180).save(path)
    assert _divided(data, tmp_path).sha256 != before


def test_a_file_that_is_gone_is_a_mistake_in_a_line(tmp_path):
    data = tiny_finetunes.bright_and_dark(tmp_path / "data", 8)
    found = _divided(data, tmp_path)
    (data / "bright" / "0.png").unlink()
    with pytest.raises(ValueError, match=r"bright: #0001.*which was read before"):
        examples.picture(found, 0)


def test_the_papers_masks_are_of_the_networks_size_and_one_foreground(tmp_path):
    data = tiny_finetunes.squares(tmp_path / "data", 6)
    found = _divided(data, tmp_path)

    def apply(model, squares):
        """Two classes, side by side, wherever it is bright."""
        bright = squares[..., 0] > 110
        left = np.arange(squares.shape[2]) < squares.shape[2] // 2
        classes = np.where(bright, np.where(left, 1, 2), 0)
        return np.eye(3, dtype=np.float32)[classes]

    predictor = predictions.Predictor(apply, batches.Form(32, 3, False), 2, True)
    rows = np.arange(6)
    for truth, mask in predictions.each_mask(predictor, {}, found, rows, resized=True):
        assert truth.shape == mask.shape == (32, 32)
        assert set(np.unique(mask)) <= {0, 1} and set(np.unique(truth)) <= {0, 1}
    official = predictions.masks_of(predictor, {}, found, rows, resized=True)
    held = official.in_truth[:, 0]
    assert official.values["dice"][held].mean() > 0.8
    several = _divided(_organs(tmp_path / "organs"), tmp_path / "two")
    own, official = (
        predictions.masks_of(predictor, {}, several, rows, resized=resized)
        for resized in (False, True)
    )
    assert own.class_names == ("background", "2", "7")
    assert official.class_names == ("background", "foreground")
    assert official.values["dice"].shape == (6, 1) and official.in_truth.all()


@pytest.mark.parametrize("segments", [True, False])
def test_flips_are_turned_back_and_averaged(segments):
    """A network that sees the upper left alone."""
    settings = tiny_finetunes.settings(
        data={"size": 8, "global_batch": 8},
        model={"task": "segmentation", "head": "linear"} if segments else {},
    )

    def predict(params, model_state, images):
        seen = images[..., 0].astype(jnp.float32) / 255
        seen = seen.at[:, 4:].set(0).at[:, :, 3:].set(0)
        return seen[..., None] if segments else seen.mean(axis=(1, 2))[:, None]

    task = stem.Task(None, None, predict)
    mesh = sharding.make_mesh(1)
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    model = {"params": {}, "model_state": {}}
    alone, mean = (
        predictions.make(settings, task, mesh, flips=flips).apply(model, images)
        for flips in (False, True)
    )
    values = images[..., 0] / 255
    if not segments:
        # the middle two columns are seen by no view
        corners = np.delete(values, (3, 4), axis=2).sum(axis=(1, 2)) / 64
        np.testing.assert_allclose(mean[:, 0], corners / 4, rtol=1e-5)
        return
    expected = values * np.isin(np.arange(8), (3, 4), invert=True) / 4
    np.testing.assert_allclose(mean[..., 0], expected, rtol=1e-5)
    assert not np.allclose(alone, mean)
