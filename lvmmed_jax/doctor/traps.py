"""Checks of `doctor` for known traps that can be seen on this machine."""

import pathlib
import shutil
import subprocess
from collections.abc import Mapping

from lvmmed_jax.doctor import findings, packages

_PLUGINS = ("jax-cuda12-plugin", "jax-cuda13-plugin")
_FRAMEWORKS = ("tensorflow", "torch")
PACKAGES = ("jaxlib", *_PLUGINS, *_FRAMEWORKS)
_VARIABLES = (
    "JAX_PLATFORMS",
    "JAX_ENABLE_X64",
    "JAX_DISABLE_JIT",
    "JAX_DEBUG_NANS",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "CUDA_VISIBLE_DEVICES",
)
_NAMED_ONLY = ("XLA_FLAGS",)  # its value may hold paths
_NO_GPU = ("", "-1")  # of CUDA_VISIBLE_DEVICES
_NVIDIA = pathlib.Path("/proc/driver/nvidia/gpus")
_INSTALL = 'pip install "jax[cuda12]", or "jax[cuda13]" where the driver is new enough'


def check(
    environ: Mapping[str, str],
    installed: Mapping[str, str | None],
    backend: str | None,
) -> list[findings.Finding]:
    """Looks for each trap.

    Args:
      environ: environment variables.
      installed: package -> version or None, of `PACKAGES` at least.
      backend: of jax, such as "cpu" or "gpu"; None where jax did not start.

    Returns:
      The traps found, or one finding that there is none.
    """
    found = (
        plugins(installed),
        unused_gpu(environ, installed, backend),
        frameworks(installed, backend),
        pillow(),
        variables(environ),
    )
    none = findings.Finding("traps", "none of the known ones is here")
    return [finding for finding in found if finding] or [none]


def plugins(installed: Mapping[str, str | None]) -> findings.Finding | None:
    """A CUDA plug-in of another version than jaxlib's is not used; nor are two."""
    jaxlib = installed["jaxlib"]
    here = {name: installed[name] for name in _PLUGINS if installed[name]}
    other = [
        f"{name} {version}"
        for name, version in here.items()
        if not jaxlib or packages.numbers(version) != packages.numbers(jaxlib)
    ]
    if other:
        value = f"{', '.join(other)} beside jaxlib {jaxlib}: jax does not use it"
        advice = _INSTALL
    elif len(here) > 1:
        value, advice = f"both {' and '.join(here)} are installed", "uninstall one"
    else:
        return None
    return findings.Finding("plug-in", value, findings.PROBLEM, advice)


def unused_gpu(
    environ: Mapping[str, str],
    installed: Mapping[str, str | None],
    backend: str | None,
) -> findings.Finding | None:
    """An NVIDIA GPU that jax does not see."""
    if backend != "cpu" or not _has_nvidia_gpu():
        return None
    value = "an NVIDIA GPU is here, but jax sees only the CPU"
    hiding = [name for name in ("JAX_PLATFORMS",) if environ.get(name)]
    if environ.get("CUDA_VISIBLE_DEVICES") in _NO_GPU:
        hiding.append("CUDA_VISIBLE_DEVICES")
    if hiding:
        advice = f"to use it, unset {' and '.join(hiding)}"
        return findings.Finding("gpu", value, findings.NOTE, advice)
    advice = _INSTALL
    if any(installed[name] for name in _PLUGINS):
        advice = "its plug-in is installed but fails: see what jax wrote above"
    return findings.Finding("gpu", value, findings.PROBLEM, advice)


def _has_nvidia_gpu() -> bool:
    if _NVIDIA.is_dir() and any(_NVIDIA.iterdir()):
        return True
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        done = subprocess.run([program, "-L"], capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0 and b"GPU" in done.stdout


def frameworks(
    installed: Mapping[str, str | None], backend: str | None
) -> findings.Finding | None:
    """Another framework that would share the accelerator with jax."""
    here = [name for name in _FRAMEWORKS if installed[name]]
    if not here or backend in ("cpu", None):
        return None
    value = (
        f"{' and '.join(here)} beside jax: once imported they may take the memory of "
        "the accelerator, and they pin CUDA packages of their own"
    )
    advice = "keep them in an environment of their own"
    return findings.Finding("frameworks", value, findings.NOTE, advice)


def pillow() -> findings.Finding | None:
    """A PIL that is not the Pillow that pip knows; too old ones are out of range."""
    known = packages.version("pillow")
    if known is None:
        return None
    try:
        import PIL
    except ImportError:  # the check of the readers tells it
        return None
    if PIL.__version__ == known:
        return None
    value = f"PIL is {PIL.__version__}, but pip installed pillow {known}"
    advice = "pip uninstall pillow-simd; pip install --force-reinstall pillow"
    return findings.Finding("pillow", value, findings.PROBLEM, advice)


def variables(environ: Mapping[str, str]) -> findings.Finding | None:
    """Environment variables that change what jax does."""
    values = {name: environ[name] for name in _VARIABLES if name in environ}
    shown = [f"{name}={value}" for name, value in values.items()]
    shown += [name for name in _NAMED_ONLY if environ.get(name)]
    if not shown:
        return None
    value = f"{', '.join(shown)} set: jax obeys"
    advice = "unset what was not meant"
    return findings.Finding("environ", value, findings.NOTE, advice, values)
