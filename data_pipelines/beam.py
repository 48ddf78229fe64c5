"""The reading of `prepare` as an Apache Beam pipeline, on as many machines as it has.

Each bundle of inputs becomes a file of outcomes beside the shards, in the form of the
journal; once all are there, this process deals their records to shards, as `shards`
does: the same input gives the same bytes either way. All machines must reach the input
and `out` under the same paths.
"""

import itertools
import json
import pathlib
import shutil
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam
from apache_beam.options import pipeline_options

from data_pipelines import journal, pool, reading, shards, sources, workers

_INPUTS = 64  # of a bundle


def write(
    job: shards.Job, *, limits: pool.Limits, runner_options: Sequence[str]
) -> dict[str, Any]:
    """Reads every input on Beam and writes shards; returns the manifest.

    Stopped, the same call goes on: bundles that are whole are not read again.

    Args:
      job: see there.
      limits: of reading one file.
      runner_options: Beam's, such as "--runner=FlinkRunner".

    Raises:
      ValueError: no file gave a record, or another job was begun in `out`.
      OSError: `out` cannot be written.
    """
    folder = job.out / shards.BEAM_FOLDER
    header, path = shards.header(job), folder / shards.BEAM_HEADER
    with shards.write_errors(job.out):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            part = _part(path)
            part.write_text(json.dumps(header))
            part.replace(path)
    found = json.loads(path.read_text())
    shards.check_header(job.out, found, header, shards.BEAM_FOLDER)
    bundles = [
        (folder / f"{number:06d}.outcomes", list(inputs))
        for number, inputs in enumerate(_batched(job.inputs, _INPUTS))
    ]
    todo = [bundle for bundle in bundles if not bundle[0].exists()]
    if todo:
        options = pipeline_options.PipelineOptions(list(runner_options))
        with apache_beam.Pipeline(options=options) as pipeline:
            _ = (
                pipeline
                | "bundles" >> apache_beam.Create(todo)
                | "spread" >> apache_beam.Reshuffle()
                | "read" >> apache_beam.Map(_read, shards.options(job), limits)
            )

    def outcomes() -> Iterator[reading.Outcome]:
        for path, _ in bundles:
            yield from shards.outcomes_of(journal.Journal.entries_of(path))

    made = shards.assemble(job, outcomes)
    shutil.rmtree(folder)
    return made


def _read(
    bundle: tuple[pathlib.Path, list[sources.Input]],
    options: reading.Options,
    limits: pool.Limits,
) -> None:
    """Reads a bundle in one bounded process; its file is there when it is whole."""
    path, inputs = bundle
    part = _part(path)
    log = journal.Journal(part)
    for group in workers.read_all(inputs, options, num_workers=1, limits=limits):
        log.append([reading.to_plain(outcome) for outcome in group])
    log.close()
    part.replace(path)


def _part(path: pathlib.Path) -> pathlib.Path:
    """A name of its own: a runner may try a bundle twice at once."""
    return path.with_suffix(f".{uuid.uuid4().hex}.part")


def _batched(items: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    rest = iter(items)
    while batch := tuple(itertools.islice(rest, size)):
        yield batch
