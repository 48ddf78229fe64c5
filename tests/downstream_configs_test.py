"""The rows of the paper's tables 2 and 5: two steps on data laid out as theirs."""

import jax
import numpy as np
import PIL.Image
import pytest
import tiny_finetunes

from lvmmed_jax import command_line, config_files, finetune_config, planning
from lvmmed_jax.downstream import examples, intervals, training
from lvmmed_jax.tasks import stem, table
from lvmmed_jax.train import checkpoint, sharding

# one compiled program a task for all rows; sizes, rates and heads: finetune_config_test
SMALL = (
    "--data.size=32",
    "--data.global_batch=8",
    "--data.num_workers=0",
    "--data.channels=3",
    "--model.hidden=()",
    "--augmentation.flip_probability=0",
    "--augmentation.flip_rows_probability=0",
    "--augmentation.rotation=0",
    "--augmentation.scale=(1,1)",
    "--augmentation.shift=0",
    "--augmentation.elastic_probability=0",
    "--augmentation.brightness=0",
    "--augmentation.contrast=0",
    "--augmentation.gamma=(1,1)",
    "--augmentation.noise=0",
    "--optimizer.name=adam",
    "--optimizer.weight_decay=0",
    "--optimizer.learning_rate=0.001",
    "--optimizer.schedule=constant",
    "--optimizer.clip_norm=1.0",
    "--train.fixed_steps=2",
    "--train.num_evaluations=1",
)


def _move(folder, names):
    """Renames folders within one."""
    for old, new in names.items():
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / old).rename(folder / new)


def _rename(folder, ending, suffix=""):
    """Files in another format, with something behind their names."""
    for path in list(folder.iterdir()):
        with PIL.Image.open(path) as picture:
            picture.save(path.with_name(f"{path.stem}{suffix}{ending}"))
        path.unlink()


def _kvasir_seg(root):
    tiny_finetunes.squares(root, 16)
    for name in ("images", "labels"):
        _rename(root / name, ".jpg")


def _isic2018(root):
    for seed, (part, count) in enumerate({"train": 8, "val": 3, "test": 4}.items()):
        tiny_finetunes.squares(root / part, count, seed=seed)
        _rename(root / part / "images", ".jpg")
        _rename(root / part / "labels", ".png", "_segmentation")


def _jsrt(root):
    tiny_finetunes.squares(root, 16)
    for path in (root / "labels").iterdir():
        mask = np.asarray(PIL.Image.open(path)) // 255  # class numbers
        PIL.Image.fromarray(mask).save(path)


def _drive(root):
    for seed, (part, count) in enumerate({"train": 8, "test": 4}.items()):
        tiny_finetunes.squares(root / part, count, seed=seed)
        _rename(root / part / "images", ".tif")
        _rename(root / part / "labels", ".gif")


def _buid(root):
    tiny_finetunes.squares(root, 16)
    for path in (root / "labels").iterdir():
        path.rename(path.with_name(f"{path.stem}_mask.png"))


def _third_class(folder, seed):
    folder.mkdir()
    for index in range(2):
        pixels = np.full((40, 48), 100 + 10 * index + 40 * seed, np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{index}.png")


def _fgadr(root):
    for seed, (part, count) in enumerate({"train": 8, "test": 4}.items()):
        tiny_finetunes.bright_and_dark(root / part, count, seed=seed)
        _move(root / part, {"bright": "0", "dark": "2"})
        _third_class(root / part / "1", seed)


def _brain_tumor(root):
    for seed, (part, count) in enumerate({"train": 8, "test": 4}.items()):
        tiny_finetunes.bright_and_dark(root / part, count, seed=seed)
        _move(root / part, {"bright": "glioma", "dark": "notumor"})
        for path in (root / part / "notumor").iterdir():  # their colour mode tells
            PIL.Image.open(path).convert("RGB").save(path)
        _third_class(root / part / "pituitary", seed)


LAYOUTS = {
    "kvasir_seg": _kvasir_seg,
    "isic2018": _isic2018,
    "jsrt": _jsrt,
    "drive": _drive,
    "drive_native": _drive,
    "buid": _buid,
    "fgadr": _fgadr,
    "brain_tumor": _brain_tumor,
}


FIRST = ("kvasir_seg", "drive_native")  # the others differ from these in their layout


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_finetunes.write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_a_layout_is_read(name, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    LAYOUTS[name](data)
    config = config_files.load(name, {}, finetune_config.Finetune)
    found = examples.read(str(data))
    examples.check_task(found, config.model.task)
    divided = examples.divide(
        found,
        config.data,
        seed=0,
        splits_file=tmp_path / "splits.json",
        salt_file=None,
    )
    assert all(len(rows) for rows in divided.rows.values()), divided.rows
    assert divided.notes == {}
    brought = name in ("isic2018", "drive", "drive_native", "fgadr", "brain_tumor")
    assert (tmp_path / "splits.json").exists() != brought


@pytest.mark.lengthy
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in FIRST))
        for name in LAYOUTS
    ],
)
def test_a_row_trains_and_is_tested(name, encoder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(intervals, "_NUM_DRAWS", 20)
    data, workdir = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    LAYOUTS[name](data)
    classifies = name in ("fgadr", "brain_tumor")
    words = [name, "--init", encoder, "--data", str(data), "--workdir", str(workdir)]
    words += [*SMALL, "--model.head=linear"]  # U-Nets: commands_finetune_test
    assert command_line.main(["finetune", *words]) == 0
    assert checkpoint.committed_steps(workdir / "checkpoints")[-1] == 2
    capsys.readouterr()
    words = ["evaluate", str(workdir), "--data", str(data)]
    words += ["--task", "classification" if classifies else "segmentation"]
    assert command_line.main(words) == 0
    told = capsys.readouterr().out
    assert ("balanced_accuracy" if classifies else "dice") in told
    assert ("kappa" in told) == (name == "fgadr")


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_a_row_fits_together_as_it_is(name):
    """Its own size, head, loss, augmentation and optimiser on ResNet-50; not run."""
    config = config_files.load(name, {}, finetune_config.Finetune)
    finetune_config.validate(config)
    origin = stem.Origin("resnet50", 64, (0.5,) * 3, (0.25,) * 3, {})
    task = table.make(config, origin, stem.Target(("background", "b")))
    data, mesh = config.data, sharding.make_mesh(1)
    plan = planning.assemble(
        config, mesh, task, num_steps=100, factor_of=training.factors_of(config, origin)
    )
    model = plan.abstract.params, plan.abstract.model_state
    shape = (data.global_batch, data.size, data.size)
    batch = {
        "image": jax.ShapeDtypeStruct((*shape, data.channels), np.uint8),
        "inner": jax.ShapeDtypeStruct((data.global_batch, 2), np.int32),
        "label": jax.ShapeDtypeStruct((data.global_batch,), np.int32),
        "mask": jax.ShapeDtypeStruct(shape, np.int32),
    }
    del batch["label" if config.model.task == "segmentation" else "mask"]
    loss, (state, _) = jax.eval_shape(task.loss_fn, *model, batch, jax.random.key(0))
    assert loss.shape == () and loss.dtype == np.float32
    assert jax.tree.map(np.shape, state) == jax.tree.map(np.shape, model[1])
    found = jax.eval_shape(task.predict, *model, batch["image"])
    assert found.shape[0] == data.global_batch and found.shape[-1] == 2
