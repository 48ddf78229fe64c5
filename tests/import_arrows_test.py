"""The layers of the design: which part may import which."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# part -> the parts of this project that it may import; the longest prefix counts
ALLOWED = {
    "data_pipelines": {"data_pipelines"},
    "configs": {
        "lvmmed_jax.config",
        "lvmmed_jax.config_files",
        "lvmmed_jax.study.grid",
        "lvmmed_jax.finetune_config",
    },
    "lvmmed_jax.config": {"lvmmed_jax.method_config"},
    "lvmmed_jax.method_config": set(),
    "lvmmed_jax.matching": {"lvmmed_jax.matching"},
    "lvmmed_jax.models": {"lvmmed_jax.models"},
    "lvmmed_jax.progress": set(),
    "lvmmed_jax.train": {"lvmmed_jax.progress", "lvmmed_jax.train"},
    "lvmmed_jax.views": {"lvmmed_jax.config"},
    "lvmmed_jax.metrics": set(),
    "lvmmed_jax.class_metrics": set(),
    "lvmmed_jax.mask_metrics": set(),
    "lvmmed_jax.finetune_config": {"lvmmed_jax.config"},
    "lvmmed_jax.probes": set(),
    "lvmmed_jax.health": set(),
    "lvmmed_jax.doctor": set(),
    "lvmmed_jax.doctor.machine": {"lvmmed_jax.doctor.findings"},
    "lvmmed_jax.doctor.packages": {"lvmmed_jax.doctor.findings"},
    "lvmmed_jax.doctor.readers": {"lvmmed_jax.doctor.findings"},
    "lvmmed_jax.doctor.speed": {"lvmmed_jax.doctor.findings", "lvmmed_jax.matching"},
    "lvmmed_jax.doctor.traps": {
        "lvmmed_jax.doctor.findings",
        "lvmmed_jax.doctor.packages",
    },
    "lvmmed_jax.features": {
        "data_pipelines",
        "lvmmed_jax.encoders",
        "lvmmed_jax.features",
        "lvmmed_jax.files",
    },
    "lvmmed_jax.features.scatter": {"lvmmed_jax.report.markup"},
    "lvmmed_jax.features.sections": {
        "data_pipelines.slices",
        "lvmmed_jax.features",
        "lvmmed_jax.inspection.sheet",
        "lvmmed_jax.report.markup",
    },
    "lvmmed_jax.features.page": {
        "data_pipelines",
        "lvmmed_jax.features",
        "lvmmed_jax.files",
        "lvmmed_jax.inspection",
        "lvmmed_jax.report.markup",
        "lvmmed_jax.report.style",
    },
    "lvmmed_jax.inspection": {"data_pipelines", "lvmmed_jax.inspection"},
    "lvmmed_jax.inspection.histogram": {"lvmmed_jax.report.figures"},
    "lvmmed_jax.inspection.page": {
        "data_pipelines.slices",
        "lvmmed_jax.files",
        "lvmmed_jax.inspection",
        "lvmmed_jax.report.markup",
        "lvmmed_jax.report.style",
    },
    "lvmmed_jax.report": set(),
    "lvmmed_jax.report.summary": {"lvmmed_jax.health", "lvmmed_jax.report.runs"},
    "lvmmed_jax.report.measures": {
        "lvmmed_jax.report.runs",
        "lvmmed_jax.report.summary",
    },
    "lvmmed_jax.report.compare": {
        "lvmmed_jax.report.measures",
        "lvmmed_jax.report.runs",
    },
    "lvmmed_jax.report.curves": {
        "lvmmed_jax.health",
        "lvmmed_jax.report.figures",
        "lvmmed_jax.report.panels",
        "lvmmed_jax.report.runs",
        "lvmmed_jax.report.summary",
    },
    "lvmmed_jax.report.results": {
        "lvmmed_jax.report.figures",
        "lvmmed_jax.report.markup",
        "lvmmed_jax.report.measures",
        "lvmmed_jax.report.runs",
        "lvmmed_jax.report.summary",
    },
    "lvmmed_jax.report.images": {"lvmmed_jax.report.markup"},
    "lvmmed_jax.report.scores": {
        "lvmmed_jax.report.images",
        "lvmmed_jax.report.markup",
        "lvmmed_jax.report.runs",
        "lvmmed_jax.report.summary",
    },
    "lvmmed_jax.report.pictures": {
        "lvmmed_jax.report.figures",
        "lvmmed_jax.report.images",
        "lvmmed_jax.report.markup",
        "lvmmed_jax.report.runs",
    },
    "lvmmed_jax.report.page": {
        "lvmmed_jax.health",
        "lvmmed_jax.report.compare",
        "lvmmed_jax.report.curves",
        "lvmmed_jax.report.markup",
        "lvmmed_jax.report.panels",
        "lvmmed_jax.report.pictures",
        "lvmmed_jax.report.results",
        "lvmmed_jax.report.runs",
        "lvmmed_jax.report.scores",
        "lvmmed_jax.report.style",
        "lvmmed_jax.report.summary",
    },
    "lvmmed_jax.release": {
        "lvmmed_jax.__version__",
        "lvmmed_jax.files",
        "lvmmed_jax.models",
        "lvmmed_jax.release",
        "lvmmed_jax.weights",
    },
    "lvmmed_jax.release.training": {"lvmmed_jax.report.runs"},
    "lvmmed_jax.study": {
        "data_pipelines.manifest",
        "lvmmed_jax.config",
        "lvmmed_jax.config_files",
        "lvmmed_jax.files",
        "lvmmed_jax.health",
        "lvmmed_jax.probes",
        "lvmmed_jax.report",
        "lvmmed_jax.study",
        "lvmmed_jax.train.writer",
        "lvmmed_jax.weights.reading",
    },
    "lvmmed_jax.study.grid": set(),
    "lvmmed_jax.weights": {
        "lvmmed_jax.files",
        "lvmmed_jax.models",
        "lvmmed_jax.weights",
    },
    "lvmmed_jax.weights.runs": {"lvmmed_jax.config", "lvmmed_jax.weights"},
    "lvmmed_jax.tasks": {
        "lvmmed_jax.augmentation",
        "lvmmed_jax.config",
        "lvmmed_jax.finetune_config",
        "lvmmed_jax.methods.encoding",
        "lvmmed_jax.models",
        "lvmmed_jax.tasks",
        "lvmmed_jax.views",
    },
    "lvmmed_jax.methods": {
        "lvmmed_jax.config",
        "lvmmed_jax.method_config",
        "lvmmed_jax.matching",
        "lvmmed_jax.methods",
        "lvmmed_jax.metrics",
        "lvmmed_jax.models",
        "lvmmed_jax.train",
        "lvmmed_jax.views",
    },
}
# package -> the only parts that may import it
WALLS = {
    "flax": {"lvmmed_jax.models"},
    "orbax": {"lvmmed_jax.train"},
    "torch": {"lvmmed_jax.weights.torch_files"},
    "jax2onnx": {"lvmmed_jax.release.onnx_file"},
    "onnxruntime": {"lvmmed_jax.release.onnx_file"},
    "safetensors": {"lvmmed_jax.weights.safetensors_files"},
    "tensorboardX": {"lvmmed_jax.train.sinks"},
    "wandb": {"lvmmed_jax.train.sinks"},
    "mlflow": {"lvmmed_jax.train.sinks"},
    "rich": {"lvmmed_jax.progress"},
    "matplotlib": {
        "lvmmed_jax.inspection.histogram",
        "lvmmed_jax.report.curves",
        "lvmmed_jax.report.figures",
        "lvmmed_jax.report.images",
    },
    "sklearn": {"lvmmed_jax.features.projection", "lvmmed_jax.probes"},
    "umap": {"lvmmed_jax.features.projection"},
    "pyarrow": {"lvmmed_jax.features.stored"},
}


def _modules():
    for folder in ("data_pipelines", "configs", "lvmmed_jax"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(name, part):
    return name == part or name.startswith(f"{part}.")


IMPORTS = {name: set(_imports(path)) for name, path in _modules()}


@pytest.mark.parametrize("name", list(IMPORTS))
def test_imports_follow_the_arrows(name):
    parts = [part for part in ALLOWED if _within(name, part)]
    if parts:
        allowed = ALLOWED[max(parts, key=len)]
        wrong = {
            one
            for one in IMPORTS[name]
            if one.split(".")[0] in ("lvmmed_jax", "data_pipelines", "configs")
            and not any(_within(one, part) for part in allowed)
        }
        assert not wrong, f"{name} may import {sorted(allowed)} only"
    for package, homes in WALLS.items():
        if any(_within(one, package) for one in IMPORTS[name]):
            assert any(_within(name, home) for home in homes), f"{name}: {package}"


def test_matching_is_pure_jax():
    packages = {
        one.split(".")[0]
        for name, imports in IMPORTS.items()
        if _within(name, "lvmmed_jax.matching")
        for one in imports
    }
    ours = {"jax", "jaxtyping", "numpy", "lvmmed_jax"}
    assert packages <= ours | sys.stdlib_module_names


def test_there_is_no_import_cycle():
    graph = {
        name: {
            other
            for other in IMPORTS
            for one in imports
            if other != name and _within(one, other) and "." in other
        }
        for name, imports in IMPORTS.items()
    }
    done = set()
    while ready := {name for name in graph if name not in done and graph[name] <= done}:
        done |= ready
    assert not graph.keys() - done
