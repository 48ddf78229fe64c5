"""`doctor`: what this machine can do, and what is wrong with it, on one screen."""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import lvmmed_jax

_EXAMPLE = """examples:
  python run.py doctor
  python run.py doctor --workdir my/runs --json > doctor.json

Looks at versions, devices, memory, decoders, the disk of --workdir and known traps, and
tests speed and results of jax, all within a few seconds. Ends with 1 where it finds a
problem. The output names no host and no user: it may go into a bug report.
"""
_REINSTALL = "install it anew: pip install -r requirements.txt, or the wheel"
_NO_JAX = 'unset JAX_PLATFORMS, or install what it names: pip install "jax[cuda12]"'
_NO_COMPUTE = "see that no other program fills the device; try JAX_PLATFORMS=cpu"
_CACHE = "set XDG_CACHE_HOME to a folder of yours"
_DICOM = (
    "pip install --force-reinstall pydicom pylibjpeg pylibjpeg-openjpeg python-gdcm"
)


def main(argv: list[str]) -> int:
    """Parses, checks, prints.

    Args:
      argv: the arguments after `doctor`.

    Returns:
      The exit code, 1 where there is a problem.
    """
    arguments = _parse(argv)
    environ = dict(os.environ)
    # a run that trains meanwhile on the same GPU needs its memory
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from lvmmed_jax.doctor import findings

    if not arguments.json:
        print(f"lvmmed_jax {lvmmed_jax.__version__}")
    found, problems = [], []
    for finding in examine(arguments.workdir, environ):
        found.append(finding)
        if finding.status == findings.PROBLEM:
            problems.append(finding.name)
        if not arguments.json:  # at once: where jax dies, the lines before it tell
            print(findings.text(finding), flush=True)
    if arguments.json:
        print(json.dumps(_as_json(found, problems)), flush=True)
    if not problems:
        if not arguments.json:
            print("no problem found")
        return 0
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    print(f"lvmmed doctor: error: {count}: {', '.join(problems)}", file=sys.stderr)
    return 1


def examine(workdir: pathlib.Path, environ: Mapping[str, str]) -> Iterator[Any]:
    """Runs the checks one by one.

    Args:
      workdir: where to test writing.
      environ: environment variables.

    Yields:
      A `findings.Finding` a check. What computes is left out where jax does not start.
    """
    from lvmmed_jax.doctor import findings, machine, packages, readers, speed, traps

    def check_packages():
        needed = packages.requirements()
        return packages.check(needed, packages.versions(needed))

    yield machine.python()
    yield findings.guarded("packages", check_packages, _REINSTALL)
    devices = findings.guarded("devices", machine.devices, _NO_JAX)
    yield devices
    yield machine.cores()
    yield findings.guarded("memory", machine.memory, "")
    yield machine.workdir(workdir)
    yield findings.guarded("cache", lambda: machine.compile_cache(environ), _CACHE)
    yield findings.guarded("dicom", readers.dicom, _DICOM)
    yield readers.images()
    backend = devices.facts.get("backend")
    if backend is not None:
        yield findings.guarded("matmul", speed.matmul, _NO_COMPUTE)
        yield findings.guarded("matching", speed.matching, _NO_COMPUTE)
    installed = packages.versions(traps.PACKAGES)
    yield from traps.check(environ, installed, backend)


def _as_json(found: Sequence[Any], problems: Sequence[str]) -> dict[str, Any]:
    return {
        "version": lvmmed_jax.__version__,
        "problems": problems,
        "checks": [dataclasses.asdict(finding) for finding in found],
    }


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed doctor",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        type=pathlib.Path,
        default=pathlib.Path(),
        help="where to test writing, with a file that is removed (default: here)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(argv)
