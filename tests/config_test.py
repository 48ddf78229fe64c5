import dataclasses
import json
import pathlib
import re

import pytest

from lvmmed_jax import config, config_files

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
    ],
)
def test_override_reads_the_type_of_the_field(name, value, expected):
    changed = config.override(config.Config(), {name: value})
    section, key = name.split(".")
    assert getattr(getattr(changed, section), key) == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("train.stps", "1", "train.steps"),
        ("trian.steps", "1", "train"),
        ("train.steps", "many", "not a int"),
        ("train.steps", "1.5", "not a int"),
        ("model.skip", "1", "not a bool"),
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
        ("matching.alpha", 1.5),
        ("matching.sigma", -1.0),
        ("train.seed", 2**31),
    ],
)
def test_values_outside_their_range_are_named(name, value):
    changed = config.override(config.Config(), {name: value})
    with pytest.raises(ValueError, match=f"{name}={value}"):
        config.validate(changed)


def test_json_brings_back_the_config_and_differences_name_the_field():
    changed = config.override(config.Config(), {"train.steps": 5})
    stored = json.loads(json.dumps(dataclasses.asdict(changed)))
    assert config.from_json(stored) == changed
    default = json.loads(json.dumps(dataclasses.asdict(config.Config())))
    assert config.differences(stored, default) == ["train.steps: 5, there 42300"]
    assert config.differences(stored, stored) == []


def test_every_field_is_read_by_some_code():
    sources = [
        path.read_text()
        for path in (ROOT / "lvmmed_jax").rglob("*.py")
        if path.name != "config.py"
    ]
    for section in dataclasses.fields(config.Config):
        for field in dataclasses.fields(section.default):
            pattern = rf"\.{field.name}\b"
            assert any(re.search(pattern, text) for text in sources), field.name


def test_shipped_configs_load_and_are_in_range():
    names = [path.stem for path in config_files.shipped_folder().glob("[!_]*.py")]
    assert {"quickstart", "lvmmed_resnet50"} <= set(names)
    for name in names:
        config.validate(config_files.load(name, {}))


def test_resnet50_config_has_the_papers_values():
    found = config_files.load("lvmmed_resnet50", {})
    matching = found.matching
    assert (matching.graph_size, matching.num_neighbours) == (16, 5)
    assert (matching.alpha, matching.interpolation, matching.sigma) == (0.8, 80.0, 1.0)
    assert (found.model.encoder, found.model.projection_width) == ("resnet50", 128)
    assert (found.optimizer.learning_rate, found.views.size) == (2e-3, 224)
    assert found.data.global_batch % (16 * 16) == 0


def test_unknown_config_offers_the_nearest():
    with pytest.raises(FileNotFoundError, match="'quickstart'"):
        config_files.load("quickstrt", {})


def test_file_without_get_config_is_named(tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"mine\.py has no get_config"):
        config_files.load(str(tmp_path / "mine.py"), {})
