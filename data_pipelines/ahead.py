"""Iterates over a Grain data set ahead of its user, in threads or in processes."""

import signal

import grain


def iterate(
    batches: grain.MapDataset, *, num_workers: int, num_threads: int
) -> grain.DatasetIterator:
    """An iterator that is two elements ahead; `.close()` it.

    Args:
      batches: elements of any kind; each may be large.
      num_workers: processes; 0 reads in threads of this one.
      num_threads: elements that are made side by side in each of them.
    """
    ahead = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=2)
    iterable = batches.to_iter_dataset(ahead)
    if num_workers:
        _mark_flags_parsed()
        options = grain.multiprocessing.MultiprocessingOptions(num_workers=num_workers)
        iterable = iterable.mp_prefetch(options, worker_init_fn=_leave_ctrl_c)
    return iter(iterable)


def _leave_ctrl_c(worker: int, num_workers: int) -> None:
    """A terminal sends Ctrl-C to workers too; the run decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _mark_flags_parsed() -> None:
    """Grain's workers read absl flags, which only `absl.app.run` would parse."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
