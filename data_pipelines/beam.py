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
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam
from apache_beam.options import pipeline_options

from data_pipelines import journal, reading, shards, sources, workers

FOLDER = "unfinished.beam"
_HEADER = "job.json"
_INPUTS = 64  # of a bundle


def write(
    job: shards.Job, *, limits: workers.Limits, runner_options: Sequence[str]
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
    folder = job.out / FOLDER
    with shards.write_errors(job.out):
        folder.mkdir(parents=True, exist_ok=True)
        header, path = shards.header(job), folder / _HEADER
        if not path.exists():
            path.write_text(json.dumps(header))
        shards.check_header(job.out, json.loads(path.read_text()), header, FOLDER)
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
    limits: workers.Limits,
) -> None:
    """Reads a bundle in one bounded process; its file is there when it is whole."""
    path, inputs = bundle
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    log = journal.Journal(part)
    for group in workers.read_all(inputs, options, num_workers=1, limits=limits):
        log.append([reading.to_plain(outcome) for outcome in group])
    log.close()
    part.replace(path)


def _batched(items: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    rest = iter(items)
    while batch := tuple(itertools.islice(rest, size)):
        yield batch
