"""An encoder as an ONNX file, which is run and compared before it is kept."""

import importlib
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.models import encoder_table
from lvmmed_jax.release import plain
from lvmmed_jax.weights import exported

INPUT, OUTPUTS = "images", ("feature_map", "pooled")
LIMIT = 1e-3  # of the relative error
OPSET = 18
_LARGEST = 2**31 - 2**20  # bytes; protobuf holds no more in one file
_NUM_IMAGES = (1, 3)  # of two calls: the batch is of any length


class Written(NamedTuple):
    """What was measured on the file.

    Attributes:
      sha256: of it.
      errors: output -> the largest difference, over the largest absolute value.
      shapes: name of an input or output -> its axes; "B" is any number.
    """

    sha256: str
    errors: dict[str, float]
    shapes: dict[str, list[int | str]]


def check_installed() -> None:
    """Raises ImportError, with what to do, where a package is missing."""
    for name in ("jax2onnx", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise ImportError(
                f"ONNX needs {name}: `pip install -r requirements-export.txt` in an "
                "environment of its own (it downgrades orbax), and export there"
            ) from None


def write(path: pathlib.Path, one: exported.Exported) -> Written:
    """Writes an encoder with its normalisation; a file that computes else is not kept.

    The graph takes `images` [B, H, W, C] float32 in [0, 1] of the encoder's input size
    and gives `feature_map` [B, R, S, D] and `pooled` [B, D], its means.

    Raises:
      ValueError: too large for one file, or it gives other values in onnxruntime.
      ImportError: see `check_installed`.
    """
    check_installed()
    function, shape = _function(one)
    model = _convert(function, shape, path.stem)
    errors = {}

    def check_and_save(place: pathlib.Path) -> None:
        place.write_bytes(_serialised(model, one.about, path))
        errors.update(_compare(place, function, shape))
        worst = max(errors.values())
        if not worst <= LIMIT:  # also where it is no number
            raise ValueError(
                f"{path} is not kept: in onnxruntime its outputs differ by {worst:.1e} "
                f"of their largest value, {LIMIT:.0e} is allowed; please report it"
            )

    digest = exported.write_with_digest(path, check_and_save)
    return Written(digest, errors, _shapes(model))


def lines(name: str) -> list[str]:
    """Python that runs the file of that name."""
    return [
        "import numpy, onnxruntime",
        "",
        f"session = onnxruntime.InferenceSession({name!r})",
        "images = numpy.zeros(session.get_inputs()[0].shape[1:], numpy.float32)[None]",
        f'feature_map, pooled = session.run(None, {{"{INPUT}": images}})',
    ]


def _function(one: exported.Exported) -> tuple[Callable[..., Any], tuple[int, ...]]:
    """(images) -> (feature map, pooled), and the shape of an image."""
    settings, given = one.about["encoder"], one.about["input"]
    make = encoder_table.find(settings["encoder"]).make
    network = make(settings["encoder"], settings["width"], jnp.float32, False)
    collections = {"params", "batch_stats"}  # SAM's neck is no part of the encoder
    variables = {
        name: jax.tree.map(np.asarray, tree)
        for name, tree in one.variables.items()
        if name in collections
    }
    mean, std = (
        np.asarray(given[name], np.float32).reshape(1, 1, 1, -1)
        for name in ("mean", "std")
    )

    def function(images):
        maps = network.apply(variables, (images - mean) / std, train=False)
        return maps, jnp.mean(maps, axis=(1, 2))

    return function, (given["size"], given["size"], len(given["mean"]))


def _convert(function: Callable[..., Any], shape: tuple[int, ...], name: str) -> Any:
    import jax2onnx

    model = jax2onnx.to_onnx(
        plain.form(function),
        inputs=[("B", *shape)],
        model_name=name,
        opset=OPSET,
        input_names=[INPUT],
        output_names=OUTPUTS,
    )
    # the converter moves transpositions and leaves the old shapes between nodes, which
    # onnxruntime then takes for an error; it infers them itself
    del model.graph.value_info[:]
    return model


def _serialised(model: Any, about: dict[str, Any], path: pathlib.Path) -> bytes:
    """The file's bytes, with our metadata."""
    size = model.ByteSize()
    if size > _LARGEST:
        raise ValueError(
            f"{path} would hold {size / 2**30:.1f} GB, and an ONNX file 2: hand on the "
            "safetensors file"
        )
    for key, value in sorted(exported.as_metadata(about).items()):
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString(deterministic=True)


def _compare(
    path: pathlib.Path, function: Callable[..., Any], shape: tuple[int, ...]
) -> dict[str, float]:
    """The relative error of each output on random images, the worst of the calls."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    generator = np.random.default_rng(0)
    errors = dict.fromkeys(OUTPUTS, 0.0)
    for count in _NUM_IMAGES:
        images = generator.random((count, *shape), np.float32)
        wanted = jax.jit(function)(images)
        found = session.run(list(OUTPUTS), {INPUT: images})
        for name, ours, theirs in zip(OUTPUTS, wanted, found, strict=True):
            errors[name] = float(np.maximum(errors[name], _error(ours, theirs)))
    return errors


def _error(ours: Any, theirs: np.ndarray) -> float:
    ours = np.asarray(ours)
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.max(np.abs(ours - theirs)) / max(np.max(np.abs(ours)), 1e-30))


def _shapes(model: Any) -> dict[str, list[int | str]]:
    return {
        value.name: [
            axis.dim_param or axis.dim_value
            for axis in value.type.tensor_type.shape.dim
        ]
        for value in (*model.graph.input, *model.graph.output)
    }
