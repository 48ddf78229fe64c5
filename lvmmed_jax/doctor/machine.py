"""Checks of `doctor` on the machine: devices, memory, disk, compile cache."""

import collections
import math
import os
import pathlib
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping

from lvmmed_jax.doctor import findings

_OLDEST_PYTHON = (3, 11)
_BLOCK, _NUM_BLOCKS = 8 * 2**20, 8
_WRITE_SECONDS = 2.0  # a slow disk is judged by what it wrote until then
_SLOW_WRITE = 20e6  # bytes a second
_LITTLE_SPACE, _LITTLE_MEMORY = 2 * 2**30, 2 * 2**30
_MEMINFO = pathlib.Path("/proc/meminfo")
_CONTAINER_LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")


def python() -> findings.Finding:
    """The interpreter and the kind of machine."""
    version = platform.python_version()
    status = advice = ""
    if sys.version_info < _OLDEST_PYTHON:
        status, advice = findings.PROBLEM, "install Python 3.11 or newer"
    system = f"{platform.system()} {platform.machine()}"
    return findings.Finding(
        "python",
        f"{version}, {system}",
        status or findings.OK,
        advice,
        {"version": version, "system": system},
    )


def devices() -> findings.Finding:
    """What jax computes on: kind, count, memory of one.

    Raises:
      RuntimeError: jax found none.
    """
    import jax

    found = jax.local_devices()
    kinds = collections.Counter(device.device_kind for device in found)
    limit = (found[0].memory_stats() or {}).get("bytes_limit")
    backend = jax.default_backend()
    value = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    if limit:
        value += f", {findings.size(limit)} each for jax"
    if backend == "cpu":
        value += ", no accelerator"
    facts = {"backend": backend, "kinds": dict(kinds), "memory_bytes": limit}
    return findings.Finding("devices", value, facts=facts)


def cores() -> findings.Finding:
    """CPU cores that this process may use."""
    total = os.cpu_count() or 1
    usable = total
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        usable = len(os.sched_getaffinity(0))
    facts = {"usable": usable, "total": total}
    return findings.Finding("cores", f"{usable} of {total} usable", facts=facts)


def memory() -> findings.Finding:
    """Memory of the host: available and total."""
    available, total = _memory_bytes()
    facts = {"available_bytes": available, "total_bytes": total}
    if total is None:
        return findings.Finding("memory", "this system does not tell", facts=facts)
    if available is None:
        return findings.Finding("memory", f"{findings.size(total)} in all", facts=facts)
    value = f"{findings.size(available)} available of {findings.size(total)}"
    if available < _LITTLE_MEMORY:
        advice = "close other programs before a run"
        return findings.Finding("memory", value, findings.NOTE, advice, facts)
    return findings.Finding("memory", value, facts=facts)


def _memory_bytes() -> tuple[int | None, int | None]:
    """Available and total, None where the system does not tell."""
    if _MEMINFO.is_file():
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        if {"MemAvailable", "MemTotal"} <= lines.keys():
            limit = _container_limit()
            return tuple(
                min(int(lines[name].split()[0]) * 1024, limit)
                for name in ("MemAvailable", "MemTotal")
            )
    try:
        return None, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows; no such name
        return None, None


def _container_limit() -> float:
    """What a container may use: /proc/meminfo is that of its host."""
    try:
        text = _CONTAINER_LIMIT.read_text().strip()
    except OSError:
        return math.inf
    return int(text) if text.isdigit() else math.inf  # "max"


def workdir(folder: pathlib.Path) -> findings.Finding:
    """Writes a temporary file of 64 MiB: speed and free space of the work folder."""
    shown = "the current folder" if folder == pathlib.Path() else str(folder)
    try:
        free = shutil.disk_usage(folder).free
        rate = _write_rate(folder)
    except OSError as error:
        advice = "name another folder with --workdir"
        if isinstance(error, FileNotFoundError):
            advice = f"make that folder, or {advice}"
        value = f"cannot write in {shown}: {error.strerror}"
        return findings.Finding("workdir", value, findings.PROBLEM, advice)
    value = f"{rate / 1e6:,.0f} MB/s written, {findings.size(free)} free in {shown}"
    advice = []
    if rate < _SLOW_WRITE:
        advice.append("slow: checkpoints and shards want a faster disk")
    if free < _LITTLE_SPACE:
        advice.append("little space: checkpoints and shards may not fit")
    status = findings.NOTE if advice else findings.OK
    facts = {"bytes_per_second": round(rate), "free_bytes": free}
    return findings.Finding("workdir", value, status, "; ".join(advice), facts)


def _write_rate(folder: pathlib.Path) -> float:
    """Bytes a second that reach the disk; the file has no name, so none is left."""
    block = os.urandom(_BLOCK)
    began, written = time.perf_counter(), 0
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_NUM_BLOCKS):
            file.write(block)
            file.flush()
            os.fsync(file.fileno())
            written += _BLOCK
            seconds = time.perf_counter() - began
            if seconds > _WRITE_SECONDS:
                break
    return written / seconds


def compile_cache(environ: Mapping[str, str]) -> findings.Finding:
    """Where jax keeps compiled programs, how much, and whether it can."""
    name = environ.get("JAX_COMPILATION_CACHE_DIR")
    if not name:
        value = "off: every run compiles anew"
        advice = "leave out --no-compile-cache"
        return findings.Finding("cache", value, findings.NOTE, advice)
    if "://" in name:
        value = "$JAX_COMPILATION_CACHE_DIR is remote: not checked"
        return findings.Finding("cache", value)
    folder = pathlib.Path(name)
    shown = _shown(folder, environ)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    facts = {"programs": len(sizes), "bytes": sum(sizes)}
    value = f"{shown}, {findings.size(sum(sizes))} in {len(sizes)} files"
    if not sizes:
        value = f"{shown}, still empty"
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return findings.Finding("cache", value, facts=facts)
    value = f"{shown} cannot be written: every run compiles anew"
    advice = "set XDG_CACHE_HOME to a folder of yours"
    return findings.Finding("cache", value, findings.NOTE, advice, facts)


def _shown(folder: pathlib.Path, environ: Mapping[str, str]) -> str:
    """The cache folder by variables: its path may name the user."""
    home = environ.get("XDG_CACHE_HOME")
    for base, short in ((home, "$XDG_CACHE_HOME"), (pathlib.Path.home(), "~")):
        if base and folder.is_relative_to(base):
            return str(short / folder.relative_to(base))
    return "$JAX_COMPILATION_CACHE_DIR"
