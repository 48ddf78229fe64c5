"""Reads data sets of TensorFlow Datasets in ArrayRecord form, without TensorFlow."""

import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import intensity, names, slices

PREFIX = "tfds:"
_TRAIN, _TEST = "train", "test"  # the parts that are read where none is asked for
# features that say what must not be split, the first that is there
_PATIENTS = ("patient_id", "patient", "subject_id", "subject")
_GROUPS = (*_PATIENTS, "case_id", "volume_id", "group")
Reader = Callable[[Sequence[pathlib.Path]], Iterator[slices.Slice]]


class _Shard(NamedTuple):
    """Examples of one file: from `start` to `stop` of a part."""

    folder: pathlib.Path
    part: str
    start: int
    stop: int


def files(
    source: str, context: slices.Context
) -> tuple[str, list[tuple[pathlib.Path, Reader]]]:
    """The name of a data set, and its files with their readers.

    Args:
      source: "tfds:NAME", "tfds:NAME/CONFIG", or a folder that holds
        `dataset_info.json` in place of the name, each with "@PART" for another part
        than train. Names are looked for in $TFDS_DATA_DIR, or ~/tensorflow_datasets;
        the newest version counts.
      context: counts where the data set does not say; its identity is not used.

    Raises:
      FileNotFoundError: there is no such data set on this disk.
      ValueError: it is stored in another form, or has no such part or no image.
    """
    import tensorflow_datasets as tfds

    name, _, part = source.removeprefix(PREFIX).partition("@")
    builder = tfds.builder_from_directory(_folder(name))
    if builder.info.file_format.value != "array_record":
        raise ValueError(
            f"{source}: stored as {builder.info.file_format.value}; turn it into "
            "ArrayRecord with `tfds convert_format --out_file_format=array_record`"
        )
    part = part or (_TEST if context.held_back else _TRAIN)
    if part not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise ValueError(
            f"{source}: has no part {part!r}; write {PREFIX}{name}@PART with one of "
            f"{known}"
        )
    _image_feature(builder.info.features)
    split = builder.info.splits[part]
    found, start = [], 0
    for file, length in zip(split.filenames, split.shard_lengths, strict=True):
        path = pathlib.Path(builder.data_path, file)
        shard = _Shard(path.parent, part, start, start + length)
        found.append((path, functools.partial(_read, shard, context)))
        start += length
    return builder.name, found


def _folder(name: str) -> pathlib.Path:
    """Where a data set lies: the folder of its newest version."""
    if (pathlib.Path(name) / "dataset_info.json").is_file():
        return pathlib.Path(name)
    home = pathlib.Path.home() / "tensorflow_datasets"
    root = pathlib.Path(os.environ.get("TFDS_DATA_DIR") or home)
    versions = [path.parent for path in (root / name).glob("*/dataset_info.json")]
    if not versions:
        raise FileNotFoundError(
            f"{PREFIX}{name}: not prepared under {root}; set TFDS_DATA_DIR, or give "
            "the folder that holds its dataset_info.json"
        )
    return max(versions, key=lambda path: names.natural(path.name))


def _read(
    shard: _Shard, context: slices.Context, paths: Sequence[pathlib.Path]
) -> Iterator[slices.Slice]:
    """The examples of one file; of a video or volume, its frames."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(shard.folder)
    feature = _image_feature(builder.info.features)
    groups = [name for name in _GROUPS if name in builder.info.features]
    part = f"{shard.part}[{shard.start}:{shard.stop}]"
    examples = builder.as_data_source(split=part)
    for index in range(len(examples)):
        example = examples[index]
        here = f"{shard.part} {shard.start + index}"
        group = _text(example[groups[0]]) if groups else here
        own = context._replace(identity=f"{builder.name} {group}")
        for piece in _slices(np.asarray(example[feature]), own):
            patients = [_text(example[name]) for name in groups if name in _PATIENTS]
            piece = piece._replace(
                identities=tuple(("patient", text) for text in patients[:1])
            )
            yield _with_metadata(piece, example)


def _with_metadata(piece: slices.Slice, example: dict[str, Any]) -> slices.Slice:
    """What `tfds_export` writes beside an image, where it is there."""
    found = {}
    if "modality" in example:
        text = _text(example["modality"])
        found["modality"] = slices.modality_of(text, piece.modality)
    if "organ" in example:
        found["organ"] = slices.organ_of(_text(example["organ"])) or piece.organ
    if "slice" in example and np.ndim(example["slice"]) == 0 and piece.index is None:
        number = int(example["slice"])
        found["index"] = number if number >= 0 else None
    if "spacing" in example and np.shape(example["spacing"]) == (2,):
        row, column = map(float, example["spacing"])
        found["spacing"] = (row, column) if min(row, column) > 0 else None
    return piece._replace(**found)


def _slices(values: np.ndarray, context: slices.Context) -> Iterator[slices.Slice]:
    """Frames [F, H, W, C], an image [H, W, C], or one without channels [H, W]."""
    if values.shape[-1] == 1 and values.ndim > 2:
        values = values[..., 0]
    modality = slices.modality_of(context.modality, None)
    rule_name = intensity.UNTOUCHED
    if values.dtype != np.uint8:
        rule = intensity.rule_for(modality=modality, organ=None, hounsfield=False)
        values, rule_name = intensity.to_uint8(values, rule), rule.name
    has_colour = values.shape[-1] == 3
    if values.shape[-1] == 4 and values.ndim > 2:
        values, has_colour = values[..., :3], True  # without alpha
    is_one = values.ndim == (3 if has_colour else 2)
    for index, frame in enumerate([values] if is_one else values):
        yield slices.Slice(
            pixels=slices.grey_where_equal(frame),
            modality=modality,
            organ=None,
            spacing=None,
            identity=context.identity,
            index=None if is_one else index,
            intensity_rule=rule_name,
        )


def _image_feature(features: Any) -> str:
    """The feature that is the image: the one called so, else the only one."""
    import tensorflow_datasets as tfds

    kinds = (tfds.features.Image, tfds.features.Video)
    found = [
        name
        for name, feature in features.items()
        if isinstance(feature, kinds)
        or (
            type(feature) is tfds.features.Tensor
            and len(feature.shape) in (2, 3, 4)
            and np.dtype(feature.np_dtype).kind in "uif"
        )
    ]
    if "image" in found:
        return "image"
    if len(found) != 1:
        raise ValueError(
            f"{PREFIX}: none of the features is called image, and "
            f"{len(found)} hold pictures: {', '.join(found) or ', '.join(features)}"
        )
    return found[0]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
