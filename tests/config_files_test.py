"""Config files: the shipped ones, and what is said about others."""

import pytest

from lvmmed_jax import config, config_files, finetune_config
from lvmmed_jax.study import jobs

SHIPPED = config_files.shipped()


def _write(folder, text):
    path = folder / "mine.py"
    path.write_text(text)
    return str(path)


def test_the_documented_configs_are_shipped():
    assert {"quickstart", "lvmmed_resnet50"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configs_are_in_range_and_take_overrides(name):
    kind = type(config_files.load(name, {}, object))
    found = config_files.load(name, {}, kind)
    if kind is config.Config:
        config.validate(found)
    else:
        finetune_config.validate(found)
    assert found.train.seed != 7
    changed = config_files.load(name, {"train.seed": "7"}, kind)
    assert changed == config.override(found, {"train.seed": 7})
    with pytest.raises(ValueError, match=r"train\.seed"):
        config_files.load(name, {"train.sed": "7"}, kind)


@pytest.mark.parametrize("name", config_files.shipped("get_study"))
def test_shipped_studies_can_be_run(name):
    jobs.check(config_files.load_study(name))


def test_every_shipped_file_is_one_of_the_two():
    paths = config_files.shipped_folder().glob("[!_]*.py")
    both = {*SHIPPED, *config_files.shipped("get_study")}
    assert {path.stem for path in paths} == both


def test_resnet50_config_has_the_papers_values():
    found = config_files.load("lvmmed_resnet50", {})
    matching = found.matching
    assert (matching.graph_size, matching.num_neighbours) == (16, 5)
    assert (matching.alpha, matching.interpolation, matching.sigma) == (0.8, 80.0, 1.0)
    assert (found.model.encoder, found.model.projection_width) == ("resnet50", 128)
    assert (found.optimizer.learning_rate, found.views.size) == (2e-3, 224)
    assert len(found.optimizer.halve_at) == 4
    # 16 devices of whole graphs, near the paper's 3200
    assert found.data.global_batch % (16 * 16) == 0
    assert abs(found.data.global_batch - 3200) <= 16 * 16
    assert found.train.steps * found.data.global_batch == pytest.approx(130e6, rel=0.01)


def test_starts_of_the_paper_change_what_the_paper_says():
    plain = config_files.load("lvmmed_resnet50", {})
    assert config_files.load("lvmmed_resnet50_imagenet", {}) == plain
    found = config_files.load("lvmmed_vit_b", {})
    assert (found.model.encoder, found.optimizer.learning_rate) == ("sam_b16", 2e-3)
    assert found.data.global_batch % (16 * 16) == 0
    assert abs(found.data.global_batch - 2800) <= 16 * 16
    assert found.train.steps * found.data.global_batch == pytest.approx(130e6, rel=0.01)


def test_a_file_is_read_by_its_path(tmp_path):
    path = _write(
        tmp_path,
        "from lvmmed_jax import config\n"
        "def get_config(**overrides):\n"
        "    return config.override(config.Config(), overrides)\n",
    )
    assert config_files.load(path, {"model.width": "8"}).model.width == 8


def test_unknown_config_offers_the_nearest():
    with pytest.raises(FileNotFoundError, match="did you mean 'quickstart'"):
        config_files.load("quickstrt", {})
    with pytest.raises(FileNotFoundError, match=r"Shipped: .*lvmmed_resnet50"):
        config_files.load("zzz", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "has no get_config"),
        ("x = = 1\n", "SyntaxError"),
        ("import no_such_module\n", "no_such_module"),
        ("def get_config():\n    return None\n", "get_config"),
        ("def get_config(**overrides):\n    return {}\n", "get_config returned a dict"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, text, message):
    path = _write(tmp_path, text)
    with pytest.raises(ValueError, match=rf"mine\.py.*{message}"):
        config_files.load(path, {"train.steps": "7"})


def test_a_run_and_a_study_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match="it is of a study, for `study`"):
        config_files.load("ablations", {})
    with pytest.raises(ValueError, match="it is of a run, for `pretrain`"):
        config_files.load_study("quickstart")
    path = _write(tmp_path, "def get_study():\n    return {}\n")
    with pytest.raises(ValueError, match="get_study returned a dict, not a Study"):
        config_files.load_study(path)
