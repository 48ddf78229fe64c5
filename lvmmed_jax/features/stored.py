"""Files of features: .npz or .parquet, written and read block by block."""

import io
import json
import math
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_pipelines import unlabelled
from lvmmed_jax import files

_ABOUT, _PATH = "about", "path"
_INTEGERS = ("record", "slice")
_ROWS = 4096  # that are read at once
_GROUP = 2**25  # bytes of features of a Parquet row group, about


class Features(NamedTuple):
    """What a file holds; features are float32.

    Attributes:
      about: JSON values: model, images and how they were embedded, what was left out.
      rows: of every image.
      paths: text of every image, where they were stored.
      shapes: name of an array -> its shape, a row.
      blocks: name of an array -> its rows, a few at a time.
    """

    about: dict[str, Any]
    rows: Sequence[unlabelled.Row]
    paths: Sequence[str] | None
    shapes: Mapping[str, Sequence[int]]
    blocks: Callable[[str], Iterator[np.ndarray]]


def check(path: pathlib.Path) -> None:
    """Raises what `write` would, before hours of work.

    Raises:
      ValueError: the name has another ending.
      ImportError: Parquet, without pyarrow.
    """
    if path.suffix not in (".npz", ".parquet"):
        raise ValueError(f"{path}: features are written as .npz or .parquet")
    if path.suffix == ".parquet":
        _parquet()


def write(path: pathlib.Path, found: Features) -> None:
    """Writes features, all or nothing: the same give the same bytes.

    Raises:
      OSError: it cannot be written; names `path`.
      ValueError, ImportError: see `check`.
    """
    check(path)
    with files.replacing(path) as partial:
        (_write_npz if path.suffix == ".npz" else _write_parquet)(partial, found)


def read(path: pathlib.Path) -> Features:
    """The features in a file; its arrays are read when they are asked for.

    Raises:
      ValueError: `embed` did not write it, or it is damaged.
      ImportError: Parquet, without pyarrow.
    """
    check(path)
    try:
        return (_read_npz if path.suffix == ".npz" else _read_parquet)(path)
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path}: not a file that `embed` wrote, or damaged; name another --out"
        ) from error


def _columns(found: Features) -> dict[str, np.ndarray]:
    """What is known of the rows, column by column."""
    columns = {}
    for place, name in enumerate(unlabelled.Row._fields):
        kind = np.int64 if name in _INTEGERS else np.str_
        columns[name] = np.array([row[place] for row in found.rows], kind)
    if found.paths is not None:
        columns[_PATH] = np.array(found.paths, np.str_)
    return columns


def _write_npz(path: pathlib.Path, found: Features) -> None:
    columns = _columns(found) | {_ABOUT: np.array(json.dumps(found.about))}
    with zipfile.ZipFile(path, "w") as archive:
        for name, shape in found.shapes.items():
            # without a time of its own; features hardly compress
            info = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(info, "w", force_zip64=True) as file:
                header = {"descr": "<f4", "fortran_order": False}
                header["shape"] = (len(found.rows), *shape)
                np.lib.format.write_array_header_1_0(file, header)
                for block in found.blocks(name):
                    file.write(np.ascontiguousarray(block, "<f4").data)
        for name, column in columns.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            buffer = io.BytesIO()
            np.save(buffer, column)
            archive.writestr(info, buffer.getvalue())


def _read_npz(path: pathlib.Path) -> Features:
    with np.load(path, allow_pickle=False) as arrays:
        about = json.loads(str(arrays[_ABOUT]))
        columns = [arrays[name].tolist() for name in unlabelled.Row._fields]
        paths = arrays[_PATH].tolist() if _PATH in arrays else None
    rows = [unlabelled.Row(*row) for row in zip(*columns, strict=True)]

    def blocks(name: str) -> Iterator[np.ndarray]:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            size = math.prod(shape[1:]) * dtype.itemsize
            for begin in range(0, shape[0], _ROWS):
                count = min(_ROWS, shape[0] - begin)
                data = file.read(count * size)
                yield np.frombuffer(data, dtype).reshape(count, *shape[1:])

    return Features(about, rows, paths, about["arrays"], blocks)


def _write_parquet(path: pathlib.Path, found: Features) -> None:
    pa, parquet = _parquet()
    columns = {name: pa.array(each) for name, each in _columns(found).items()}
    fields = [pa.field(name, each.type) for name, each in columns.items()]
    lengths = {name: math.prod(shape) for name, shape in found.shapes.items()}
    fields += [
        pa.field(name, pa.list_(pa.float32(), length))
        for name, length in lengths.items()
    ]
    schema = pa.schema(fields, {_ABOUT: json.dumps(found.about)})
    row_bytes, begin = 4 * sum(lengths.values()), 0
    most = max(1, _GROUP // row_bytes)
    with parquet.ParquetWriter(path, schema) as writer:
        cut = [_recut(found.blocks(name), most) for name in lengths]
        for group in zip(*cut, strict=True):
            count = len(group[0])
            arrays = [each.slice(begin, count) for each in columns.values()]
            arrays += [
                pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), length)
                for block, length in zip(group, lengths.values(), strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            begin += count


def _recut(blocks: Iterator[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The same rows in blocks of `count`, the last one shorter."""
    held: list[np.ndarray] = []
    for block in blocks:
        held.append(block)
        while sum(map(len, held)) >= count:
            whole = np.concatenate(held)
            yield whole[:count]
            held = [whole[count:]]
    if sum(map(len, held)):
        yield np.concatenate(held)


def _read_parquet(path: pathlib.Path) -> Features:
    _, parquet = _parquet()
    file = parquet.ParquetFile(path)
    about = json.loads((file.schema_arrow.metadata or {})[_ABOUT.encode()])
    fields = list(unlabelled.Row._fields)
    table = file.read(columns=fields)
    columns = [table.column(name).to_pylist() for name in fields]
    paths = None
    if _PATH in file.schema_arrow.names:
        paths = file.read(columns=[_PATH]).column(_PATH).to_pylist()
    rows = [unlabelled.Row(*row) for row in zip(*columns, strict=True)]

    def blocks(name: str) -> Iterator[np.ndarray]:
        for batch in file.iter_batches(batch_size=_ROWS, columns=[name]):
            values = batch.column(0).flatten().to_numpy()
            yield values.reshape(len(batch), *about["arrays"][name])

    return Features(about, rows, paths, about["arrays"], blocks)


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            "Parquet needs pyarrow: pip install -r requirements-parquet.txt, or name "
            "an --out that ends in .npz"
        ) from error
    return pyarrow, parquet
