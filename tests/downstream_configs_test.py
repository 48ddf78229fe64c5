"""The rows of the paper's tables 2 and 5: two steps on data laid out as theirs."""

import numpy as np
import PIL.Image
import pytest
import tiny_finetunes

from lvmmed_jax import command_line
from lvmmed_jax.train import checkpoint

# one compiled program for all rows of a table; sizes and rates: finetune_config_test
SMALL = (
    "--data.size=32",
    "--data.global_batch=8",
    "--data.num_workers=0",
    "--model.decoder_width=4",
    "--optimizer.learning_rate=0.001",
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
        mask = np.asarray(PIL.Image.open(path)) // 255
        mask[-8:] = 2  # lungs and a heart
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


def _fgadr(root):
    for seed, (part, count) in enumerate({"train": 8, "test": 4}.items()):
        tiny_finetunes.bright_and_dark(root / part, count, seed=seed)
        _move(root / part, {"bright": "0", "dark": "2"})
        (root / part / "1").mkdir()
        for index in range(2):
            pixels = np.full((40, 48), 100 + 10 * index + 40 * seed, np.uint8)
            PIL.Image.fromarray(pixels).save(root / part / "1" / f"{index}.png")


def _brain_tumor(root):
    for seed, (part, count) in enumerate({"train": 8, "test": 4}.items()):
        tiny_finetunes.bright_and_dark(root / part, count, seed=seed)
        _move(root / part, {"bright": "glioma", "dark": "notumor"})
        for path in (root / part / "notumor").iterdir():  # their colour mode tells
            PIL.Image.open(path).convert("RGB").save(path)


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


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_finetunes.write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_a_row_trains_and_is_tested(name, encoder, tmp_path, capsys):
    data, workdir = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    LAYOUTS[name](data)
    words = [name, "--init", encoder, "--data", str(data)]
    words += ["--workdir", str(workdir), *SMALL]
    assert command_line.main(["finetune", *words]) == 0
    assert checkpoint.committed_steps(workdir / "checkpoints")[-1] == 2
    task = "classification" if name in ("fgadr", "brain_tumor") else "segmentation"
    capsys.readouterr()
    words = ["evaluate", str(workdir), "--task", task, "--data", str(data)]
    assert command_line.main(words) == 0
    told = capsys.readouterr().out
    assert ("dice" if task == "segmentation" else "balanced_accuracy") in told
    if name == "fgadr":
        assert "kappa" in told
