import dataclasses
import itertools
import json
import pathlib
import re

import pytest

from lvmmed_jax import config, finetune_config
from lvmmed_jax.matching import perturbation
from lvmmed_jax.train import optimizer

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("train.steps", "12", 12),
        ("matching.sigma", "1", 1.0),
        ("matching.num_starts", "8", 8),
        ("matching.num_starts", "None", None),
        ("model.skip", "False", False),
        ("model.encoder", "resnet18", "resnet18"),
        ("views.crop_area", "(0.2, 1)", (0.2, 1.0)),
        ("views.crop_area", [0.2, 1], (0.2, 1.0)),
        ("optimizer.halve_at", "()", ()),
        ("matching.sigma", 2, 2.0),
    ],
)
def test_override_reads_the_type_of_the_field(name, value, expected):
    changed = config.override(config.Config(), {name: value})
    section, key = name.split(".")
    found = getattr(getattr(changed, section), key)
    assert found == expected and type(found) is type(expected)


def test_an_optional_number_is_unset_again():
    few = config.override(config.Config(), {"matching.num_starts": 8})
    assert config.override(few, {"matching.num_starts": "None"}) == config.Config()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("train.stps", "1", "train.steps"),
        ("trian.steps", "1", "'trian' in 'trian.steps'; did you mean 'train'"),
        ("steps", "1", "'steps'; known: .*'train'"),
        ("train", "1", "'train'; known: .*'steps'"),
        ("train.steps", "many", "not a int"),
        ("train.steps", "1.5", "not a int"),
        ("train.steps", "None", "not a int"),
        ("train.steps", "{[]: 1}", "not a int"),
        ("train.steps", True, "not a int"),
        ("model.skip", "1", "not a bool"),
        ("model.encoder", 50, "not a str"),
        ("data.mean", "0.5", "not a tuple"),
        ("data.mean", "(0.5,)", "3 numbers"),
        ("data.mean", "('a', 1, 2)", "3 numbers"),
    ],
)
def test_override_refuses_what_does_not_fit(name, value, message):
    with pytest.raises(ValueError, match=message):
        config.override(config.Config(), {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.steps", 0),
        ("matching.num_starts", 0),
        ("matching.num_neighbours", 16),  # of graphs of 16 images
        ("matching.alpha", 1.5),
        ("optimizer.learning_rate", 0.0),
        ("views.crop_area", (0.5, 1.5)),
        ("views.blur_sigma", (2.0, 1.0)),
        ("matching.sigma", -1.0),
        ("train.seed", 2**31),
    ],
)
def test_values_outside_their_range_are_named(name, value):
    changed = config.override(config.Config(), {name: value})
    with pytest.raises(ValueError, match=re.escape(f"{name}={value}")):
        config.validate(changed)


def test_json_brings_back_the_config_and_differences_name_the_field():
    changed = config.override(
        config.Config(), {"train.steps": 5, "views.crop_area": (0.5, 1)}
    )
    stored = json.loads(json.dumps(dataclasses.asdict(changed)))
    assert config.from_json(stored) == changed
    default = json.loads(json.dumps(dataclasses.asdict(config.Config())))
    assert config.differences(stored, default) == [
        "train.steps: 5, there 42300",
        "views.crop_area: [0.5, 1.0], there [0.08, 1.0]",
    ]
    assert config.differences(stored, stored) == []


def test_differences_show_fields_of_another_version_and_pass_over_the_rhythm():
    ours = {"train": {"steps": 5, "log_every_steps": 1}}
    theirs = {"train": {"steps": 5, "log_every_steps": 9, "epochs": 2}}
    assert config.differences(ours, theirs) == ["train.epochs: 'absent', there 2"]


def test_every_field_is_read_by_some_code():
    sources = [
        path.read_text()
        for path in (ROOT / "lvmmed_jax").rglob("*.py")
        if path.name not in ("config.py", "finetune_config.py")
    ]
    both = (config.Config, finetune_config.Finetune)
    for section in itertools.chain(*map(dataclasses.fields, both)):
        for field in dataclasses.fields(section.default):
            pattern = rf"\.{field.name}\b"
            assert any(re.search(pattern, text) for text in sources), field.name


@pytest.mark.parametrize("name", ["matching.rule", "matching.noise", "model.dtype"])
def test_a_choice_that_does_not_exist_names_those_that_do(name):
    settings = config.override(config.Config(), {name: "other"})
    with pytest.raises(ValueError, match=f"{name}='other' must be one of "):
        config.validate(settings)


def test_every_noise_and_optimiser_can_be_chosen():
    assert config._CHOICES["matching.noise"] == perturbation.NOISES
    assert config._CHOICES["optimizer.name"] == optimizer.OPTIMIZERS
    assert config._CHOICES["optimizer.schedule"] == optimizer.SCHEDULES


def test_weight_decay_with_adam_is_refused():
    changed = config.override(config.Config(), {"optimizer.weight_decay": 0.1})
    with pytest.raises(
        ValueError, match=r"weight_decay=0.1 needs optimizer.name=adamw"
    ):
        config.validate(changed)
    config.validate(config.override(changed, {"optimizer.name": "adamw"}))


def test_optional_numbers_are_none_or_numbers():
    for text, value in (("0.99", 0.99), ("None", None)):
        changed = config.override(config.Config(), {"optimizer.ema_decay": text})
        config.validate(changed)
        assert changed.optimizer.ema_decay == value
    with pytest.raises(ValueError, match=r"ema_decay=1.5 must be between 0 and 1"):
        config.validate(
            config.override(config.Config(), {"optimizer.ema_decay": "1.5"})
        )
