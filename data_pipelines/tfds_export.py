"""Writes shards as a data set of TensorFlow Datasets, which others load by name."""

import contextlib
import io
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from data_pipelines import manifest, records

VERSION = "1.0.0"
_TEXTS = ("modality", "organ", "group", "source", "intensity_rule")


def export(
    shards: pathlib.Path,
    *,
    data_dir: pathlib.Path,
    name: str,
    progress: Callable[[int], None],
) -> pathlib.Path:
    """Writes every record of a set in order; TensorFlow is not needed.

    Images keep their pixels; grey ones become RGB where the set has colour, since tfds
    knows one number of channels. What is unknown is "" (organ), -1 (slice), or 0
    (spacing). `tfds.data_source(name, data_dir=...)` reads the data set.

    Args:
      shards: a folder that `prepare` wrote.
      data_dir: where tfds looks for data sets.
      name: of the data set; lower case, digits and _.
      progress: is told how many records are written.

    Returns:
      The folder of the data set.

    Raises:
      FileNotFoundError, ValueError: there are no shards, or damaged ones.
      FileExistsError: there is such a data set.
    """
    found = manifest.read(shards)
    folder = data_dir / name / VERSION
    if folder.exists():
        raise FileExistsError(f"{folder}: is there already; choose another --name")
    builder = _builder_class(name, shards, found, progress)
    with contextlib.redirect_stdout(io.StringIO()):  # tfds speaks of downloads
        builder(data_dir=data_dir, file_format="array_record").download_and_prepare()
    return folder


def _builder_class(name, shards, found, progress) -> Any:
    """A class, since tfds wants one; it must lie in a module of a package."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    tfds.disable_progress_bar()
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(
                shape=(None, None, found["channels"]), encoding_format="png"
            ),
            **{key: tfds.features.Text() for key in _TEXTS},
            "slice": np.int32,
            "spacing": tfds.features.Tensor(shape=(2,), dtype=np.float32),
        }
    )

    with registered.skip_registration():  # it is of these shards only

        class Shards(tfds.core.GeneratorBasedBuilder):
            """The records of a folder of shards."""

            VERSION = tfds.core.Version(globals()["VERSION"])

            def _info(self):
                return tfds.core.DatasetInfo(
                    builder=self,
                    description=f"{found['records']} images prepared by lvmmed_jax",
                    features=features,
                    disable_shuffling=True,
                )

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                for number, record in enumerate(_records(shards, found)):
                    yield number, _example(record, found["channels"])
                    progress(number + 1)

    Shards.name = name
    return Shards


def _records(shards: pathlib.Path, found: dict[str, Any]) -> Iterator[records.Record]:
    from array_record.python import array_record_module

    for file in found["sha256"]:
        reader = array_record_module.ArrayRecordReader(str(shards / file))
        try:
            for number in range(reader.num_records()):
                (data,) = reader.read([number])
                yield records.decode(data)
        finally:
            reader.close()


def _example(record: records.Record, channels: int) -> dict[str, Any]:
    image = record.image
    if record.channels < channels:
        image = records.png(np.stack([records.image(record)] * channels, axis=-1))
    return {
        "image": image,
        **{key: getattr(record, key) or "" for key in _TEXTS},
        "slice": -1 if record.slice is None else record.slice,
        "spacing": np.array(record.spacing or (0, 0), np.float32),
    }
