"""Writes shards in this process, for the tests of several modules."""

from data_pipelines import pool, shards


def write(job, num_workers=0, progress=lambda done: None):
    """`shards.write` with the usual limits."""
    return shards.write(
        job, num_workers=num_workers, limits=pool.Limits(), progress=progress
    )
