"""Keeps what libraries say of a patient's file from logs and terminals."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def readers() -> Iterator[None]:
    """Readers warn in the words of a file's header: neither shown, logged nor raised.

    Their C libraries write to the process's stderr, so that is turned away too.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with _nothing_on_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _nothing_on_stderr() -> Iterator[None]:
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed already
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
