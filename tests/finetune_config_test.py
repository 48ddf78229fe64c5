"""Fine-tuning settings, and the shipped rows of the paper's tables 2 and 5."""

import ast
import pathlib
import re
import shlex

import pytest

from lvmmed_jax import config, config_files, finetune_config

ROOT = pathlib.Path(__file__).parents[1]
# table 7 of the paper: learning rate, epochs, size, batch of ResNet-50, then of ViT
SEGMENTED = {
    "isic2018": ((1e-4, 35, 512, 16), (1e-4, 100)),
    "jsrt": ((1e-3, 50, 224, 32), (1e-3, 200)),
    "kvasir_seg": ((1e-3, 35, 224, 64), (1e-3, 200)),
    "drive": ((1e-3, 50, 224, 16), (1e-3, 200)),
    "buid": ((1e-4, 50, 256, 8), (1e-4, 200)),
}
CLASSIFIED = {"fgadr": (1e-3, (512, 128)), "brain_tumor": (5e-4, (512, 256))}
NAMES = (*SEGMENTED, "drive_native", *CLASSIFIED)


def _commands(name):
    """The overrides of each `finetune` of a config's docstring."""
    text = ast.get_docstring(ast.parse((ROOT / "configs" / f"{name}.py").read_text()))
    for line in re.sub(r"\\\n", " ", text).splitlines():
        words = shlex.split(line) if line.strip().startswith("python ") else []
        if "finetune" in words:
            assert words[:3] == ["python", "run.py", "finetune"] and words[3] == name
            overrides = [word for word in words if re.match(r"--\w+\.", word)]
            yield words, config_files.parse_overrides(overrides, pytest.fail)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_of_a_docstring_is_in_range(name):
    commands = list(_commands(name))
    assert commands
    for words, overrides in commands:
        assert {"--init", "--data", "--workdir"} <= set(words)
        kind = finetune_config.Finetune
        finetune_config.validate(config_files.load(name, overrides, kind))


@pytest.mark.parametrize("name", list(SEGMENTED))
def test_rows_of_table_2_have_the_papers_values(name):
    (rate, epochs, size, batch), of_vit = SEGMENTED[name]
    found = config_files.load(name, {}, finetune_config.Finetune)
    assert (found.optimizer.learning_rate, found.train.epochs) == (rate, epochs)
    assert (found.data.size, found.data.global_batch) == (size, batch)
    assert (found.optimizer.name, found.optimizer.clip_norm) == ("adam", 1.0)
    assert (found.loss.dice, found.model.head) == (1.0, "unet")
    (overrides,) = (each for words, each in _commands(name) if "LVMMED_VIT" in words)
    vit = config_files.load(name, overrides, finetune_config.Finetune)
    assert (vit.optimizer.learning_rate, vit.train.epochs) == of_vit
    assert vit.model.head == "conv_unet"


@pytest.mark.parametrize("name", list(CLASSIFIED))
def test_rows_of_table_5_have_the_papers_values(name):
    found = config_files.load(name, {}, finetune_config.Finetune)
    assert (found.optimizer.learning_rate, found.model.hidden) == CLASSIFIED[name]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.head": "unet"}, "one of linear, ordinal with model.task="),
        ({"model.task": "segmentation", "model.hidden": (4,)}, "model.hidden=(4,) is"),
        ({"data.native": True}, "data.native=True is for model.task=segmentation"),
        ({"data.channels": 2}, "data.channels=2 must be one of 1, 3"),
        ({"data.test_share": 0.6}, "data.test_share=0.6 must be at least 0 and below"),
        ({"model.hidden": (0,)}, "model.hidden=(0,) must be at least 1"),
        ({"augmentation.scale": (1.2, 0.8)}, "augmentation.scale=(1.2, 0.8) must be"),
        ({"augmentation.rotation": -1.0}, "augmentation.rotation=-1.0 must be at"),
        ({"train.epochs": 0.0}, "train.epochs=0.0 must be above 0"),
        ({"optimizer.learning_rate": 0.0}, "optimizer.learning_rate=0.0"),
        (
            {"model.tuning": "linear_probe", "model.lora_rank": 4},
            "linear_probe freezes the whole encoder",
        ),
        (
            {
                "model.task": "segmentation",
                "model.head": "conv_unet",
                "model.tuning": "linear_probe",
            },
            "conv_unet trains a stem",
        ),
        (
            {
                "model.task": "segmentation",
                "model.head": "unet",
                "data.native": True,
                "data.keep_aspect": True,
            },
            "not with data.native",
        ),
    ],
)
def test_what_does_not_go_together_is_named(overrides, message):
    found = config.override(finetune_config.Finetune(), overrides)
    with pytest.raises(ValueError, match=re.escape(message)):
        finetune_config.validate(found)


def test_widths_of_a_head_are_read_from_the_command_line():
    found = config.override(finetune_config.Finetune(), {"model.hidden": "(512, 256)"})
    assert found.model.hidden == (512, 256)
    assert all(type(width) is int for width in found.model.hidden)
    nested = config.as_json(found)
    assert config.from_json(nested, finetune_config.Finetune()) == found
    other = config.as_json(finetune_config.Finetune())
    assert config.differences(nested, other, finetune_config.Finetune()) == [
        "model.hidden: [512, 256], there []"
    ]
