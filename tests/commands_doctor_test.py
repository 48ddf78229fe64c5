"""The `doctor` command: its screen, its JSON, and each problem that it tells."""

import errno
import getpass
import json
import os
import pathlib
import re
import socket
import tempfile
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np
import pydicom.pixels
import pytest

from lvmmed_jax import command_line
from lvmmed_jax.doctor import findings, machine, packages, readers, speed, traps
from lvmmed_jax.matching import problem, solver

NAMES = ["python", "packages", "devices", "cores", "memory", "workdir", "cache"]
NAMES += ["dicom", "images"]
NO_PLUGINS = dict.fromkeys(traps.PACKAGES) | {"jaxlib": "0.12.0.1"}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Puts back what the command sets; hides the GPU of this machine."""
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")
    monkeypatch.delenv("LVMMED_TRACEBACK", raising=False)
    monkeypatch.setattr(traps, "_NVIDIA", pathlib.Path("no/such/folder"))
    monkeypatch.setattr(traps.shutil, "which", lambda name: None)


@pytest.fixture
def quick(monkeypatch):
    """Leaves out what computes."""
    for name in ("matmul", "matching"):
        finding = findings.Finding(name, "left out")
        monkeypatch.setattr(speed, name, lambda finding=finding: finding)


def _run(capsys, *words):
    """Exit code, lines of stdout, last line of stderr."""
    code = command_line.main(["doctor", *words])
    output = capsys.readouterr()
    return code, output.out.splitlines(), output.err.splitlines()[-1:]


@pytest.mark.lengthy
def test_one_screen_that_names_no_host_and_leaves_nothing(tmp_path, capsys):
    code, lines, errors = _run(capsys, "--workdir", str(tmp_path))
    assert (code, errors) == (0, [])
    lines = [line.replace(str(tmp_path), "") for line in lines]
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    names = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert names[:12] == ["lvmmed_jax", *NAMES, "matmul", "matching"]
    assert not list(tmp_path.iterdir())
    text = "\n".join(lines)
    assert "64 of 64 planted matchings found" in text
    for private in (socket.gethostname(), getpass.getuser()):
        assert not re.search(rf"\b{re.escape(private)}\b", text)


def test_json_is_one_object(quick, tmp_path, capsys):
    code, lines, _ = _run(capsys, "--json", "--workdir", str(tmp_path))
    (line,) = lines
    answer = json.loads(line)
    assert code == 0 and answer["problems"] == []
    assert [check["name"] for check in answer["checks"]][: len(NAMES)] == NAMES
    checks = {check["name"]: check for check in answer["checks"]}
    assert checks["packages"]["facts"]["versions"]["jax"] == metadata.version("jax")
    assert checks["workdir"]["facts"]["bytes_per_second"] > 0


def test_long_findings_stay_within_the_screen():
    text = findings.text(
        findings.Finding("name", "word " * 99, findings.NOTE, "do " * 99)
    )
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("name      note     word") and "-> do do" in text


def test_a_long_path_stays_whole():
    path = "/folder" * 20
    finding = findings.Finding("name", f"cannot write in {path}: no such folder")
    assert path in findings.text(finding)


# packages


def test_a_version_out_of_range_is_a_problem(quick, monkeypatch, capsys):
    known = packages.version
    changed = {"grain": "0.1.9", "importlib_resources": None}
    monkeypatch.setattr(
        packages, "version", lambda name: changed.get(name, known(name))
    )
    changed["jax2onnx"] = "0.17.1"
    changed["orbax-checkpoint"] = "0.11.36"
    code, lines, errors = _run(capsys)
    text = " ".join(" ".join(lines).split())
    assert code == 1 and errors == ["lvmmed doctor: error: 1 problem: packages"]
    assert "grain 0.1.9 is not >=0.2.18,<0.3" in text
    assert "importlib_resources is missing" in text
    assert "jax2onnx downgrades orbax" in text
    assert "pip install -r requirements.txt" in text


@pytest.mark.parametrize(
    ("version", "specifiers", "within"),
    [
        ("0.12.0.1", ">=0.10.2,<0.13", True),
        ("0.13.0", "<0.13", False),
        ("0.13.0rc1", "<0.13", False),
        ("0.9.10", ">=0.10", False),
        ("2.0", ">=2.0.0", True),
        ("2.13.0+cpu", ">=2,!=2.12", True),
        ("1", "", True),
    ],
)
def test_versions_are_compared_by_number(version, specifiers, within):
    assert packages.is_within(version, specifiers) is within


def test_unknown_specifier_is_refused():
    with pytest.raises(ValueError, match="~=1"):
        packages.is_within("1.0", "~=1.0")


def test_an_installed_wheel_carries_its_requirements(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "_CHECKOUT", tmp_path)
    lines = ["jax<0.13,>=0.10.2", "ruff>=0.8; extra == 'dev'", 'x>=1 ; extra == "dev"']
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    needed = packages.requirements()
    assert needed == {"jax": "<0.13,>=0.10.2"}
    finding = packages.check(needed, {"jax": "0.13"})
    assert finding.status == findings.PROBLEM
    assert finding.advice == 'pip install "jax<0.13,>=0.10.2"'


def test_this_environment_is_in_range():
    needed = packages.requirements()
    assert {"jax", "orbax-checkpoint", "pytest"} <= needed.keys()
    assert packages.check(needed, packages.versions(needed)).status == "ok"


# machine


def test_missing_work_folder_is_one_clear_line(quick, tmp_path, capsys):
    code, lines, errors = _run(capsys, "--workdir", str(tmp_path / "no"))
    assert code == 1 and errors == ["lvmmed doctor: error: 1 problem: workdir"]
    text = " ".join(" ".join(lines).split())
    assert f"cannot write in {tmp_path / 'no'}: No such file" in text
    assert "-> make that folder" in text and not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_unwritable_work_folder_is_a_problem(monkeypatch, tmp_path, number):
    def refuse(dir):
        raise OSError(number, os.strerror(number), f"{dir}/tmpabc")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    finding = machine.workdir(tmp_path)
    assert finding.status == findings.PROBLEM and "--workdir" in finding.advice
    assert finding.value == f"cannot write in {tmp_path}: {os.strerror(number)}"


def test_a_full_disk_is_a_problem_and_leaves_nothing(monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    finding = machine.workdir(tmp_path)
    assert finding.status == findings.PROBLEM and "No space left" in finding.value
    assert not list(tmp_path.iterdir())


def test_a_slow_disk_is_noted_before_all_is_written(monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(os, "fsync", written.append)
    monkeypatch.setattr(machine.time, "perf_counter", iter(range(99)).__next__)
    finding = machine.workdir(tmp_path)
    assert len(written) == 3 and finding.status == findings.NOTE
    assert finding.value.startswith("8 MB/s") and "slow" in finding.advice


def test_memory_of_a_container_and_of_other_systems(monkeypatch, tmp_path):
    meminfo, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_MEMINFO", meminfo)
    monkeypatch.setattr(machine, "_CONTAINER_LIMIT", limit)
    assert machine.memory().value.endswith("GiB in all")
    meminfo.write_text("MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    assert machine.memory().value == "4.0 GiB available of 8.0 GiB"
    limit.write_text("max\n")
    assert machine.memory().status == "ok"
    limit.write_text(f"{2**30}\n")
    finding = machine.memory()
    assert finding.value == "1.0 GiB available of 1.0 GiB"
    assert finding.status == findings.NOTE


def test_the_cache_is_named_by_its_variable(tmp_path):
    environ = {
        "XDG_CACHE_HOME": str(tmp_path),
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "lvmmed"),
    }
    finding = machine.compile_cache(environ)
    assert finding.value == "$XDG_CACHE_HOME/lvmmed, still empty"
    (tmp_path / "lvmmed").mkdir()
    (tmp_path / "lvmmed" / "program").write_bytes(bytes(2**21))
    finding = machine.compile_cache(environ)
    assert finding.value == "$XDG_CACHE_HOME/lvmmed, 2 MiB in 1 files"
    assert finding.facts == {"programs": 1, "bytes": 2**21}
    environ["XDG_CACHE_HOME"] = "/elsewhere"
    value = machine.compile_cache(environ).value
    assert value.startswith("$JAX_COMPILATION_CACHE_DIR,")
    assert machine.compile_cache({}).status == findings.NOTE


def test_a_cache_that_cannot_be_written_is_noted(tmp_path):
    (tmp_path / "file").write_text("")
    environ = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "file" / "lvmmed")}
    finding = machine.compile_cache(environ)
    assert finding.status == findings.NOTE and "cannot be written" in finding.value


def test_where_jax_does_not_start_nothing_is_computed(quick, monkeypatch, capsys):
    def fail():
        raise RuntimeError("Unable to initialize backend 'cuda'")

    monkeypatch.setattr(jax, "local_devices", fail)
    code, lines, errors = _run(capsys)
    assert code == 1 and errors == ["lvmmed doctor: error: 1 problem: devices"]
    assert any("Unable to initialize backend 'cuda'" in line for line in lines)
    assert not any(line.startswith("mat") for line in lines)


# readers


def _with_plugins(monkeypatch, change):
    """Has every decoder offer the plug-ins `change(its own)`."""
    known = pydicom.pixels.get_decoder

    class Decoder:
        def __init__(self, uid):
            own = known(uid).available_plugins
            self.available_plugins = change(own) if own else ()
            self.is_available = bool(self.available_plugins) or not own

    monkeypatch.setattr(pydicom.pixels, "get_decoder", Decoder)


def test_a_missing_decoder_is_a_problem(quick, monkeypatch, capsys):
    few = {"pydicom", "pillow"}
    _with_plugins(monkeypatch, lambda own: [name for name in own if name in few])
    code, lines, errors = _run(capsys)
    text = " ".join(" ".join(lines).split())
    assert code == 1 and errors == ["lvmmed doctor: error: 1 problem: dicom"]
    assert "; not JPEG extended 12 bit, JPEG lossless, JPEG-LS, HTJ2K" in text
    assert "-> pip install pylibjpeg-openjpeg python-gdcm; for 12 bit: pip" in text


def test_twelve_bit_needs_its_own_plugin_and_is_only_noted(monkeypatch):
    _with_plugins(monkeypatch, lambda own: ["gdcm", "pillow"])
    finding = readers.dicom()
    assert finding.status == findings.NOTE and "GPL v3" in finding.advice
    assert finding.value.endswith("; not JPEG extended 12 bit")
    _with_plugins(monkeypatch, lambda own: ["gdcm", "pylibjpeg"])
    finding = readers.dicom()
    assert finding.status == "ok" and finding.facts["JPEG extended 12 bit"]


def test_a_reader_that_does_not_import_is_a_problem(monkeypatch):
    monkeypatch.setitem(readers._READERS, "no_such_module", ("X", "x-package"))
    finding = readers.images()
    assert finding.status == findings.PROBLEM and finding.advice.endswith(" x-package")
    assert finding.value.endswith("; not X (no_such_module: ModuleNotFoundError)")


# speed


def test_a_solver_that_errs_is_a_problem(monkeypatch, capsys):
    _, target_matching = speed.planted(np.random.default_rng(0))
    target_matching[3] = np.roll(target_matching[3], 1, axis=0)
    wrong = solver.Solution(jnp.asarray(target_matching), jnp.zeros(64))
    monkeypatch.setattr(solver.Solver, "__call__", lambda self, problems: wrong)
    code, lines, errors = _run(capsys)
    assert code == 1 and errors == ["lvmmed doctor: error: 1 problem: matching"]
    (line,) = [line for line in lines if line.startswith("matching")]
    assert "PROBLEM" in line and "63 of 64 planted" in line


def test_the_planted_matching_alone_is_best():
    arrays, target_matching = speed.planted(np.random.default_rng(1))
    problems = problem.MatchingProblem(*map(jnp.asarray, arrays))
    num_edges = problems.edges_s.shape[1]
    values = jax.vmap(problem.objective)(problems, jnp.asarray(target_matching))
    np.testing.assert_allclose(values, 16 + num_edges)
    assert problems.vertex_affinity.max() == problems.edge_affinity.max() == 1
    assert np.all(np.sum(arrays[1] == 1, axis=(1, 2)) == num_edges)
    for edges in (*arrays[2], *arrays[3]):
        assert len(np.unique(edges, axis=0)) == num_edges
        assert set(edges[:, 0]) == set(range(16)) and np.all(edges[:, 0] != edges[:, 1])


# traps


def test_no_trap_is_told_where_there_is_none():
    (finding,) = traps.check({}, NO_PLUGINS, "cpu")
    assert (finding.name, finding.status) == ("traps", "ok")


def test_a_plugin_of_another_version_is_a_problem():
    installed = NO_PLUGINS | {"jax-cuda12-plugin": "0.12.0.1"}
    assert traps.plugins(installed) is None
    finding = traps.plugins(installed | {"jaxlib": "0.12.1"})
    assert finding.status == findings.PROBLEM
    assert "jax-cuda12-plugin 0.12.0.1 beside jaxlib 0.12.1" in finding.value
    finding = traps.plugins(installed | {"jax-cuda13-plugin": "0.12.0.1"})
    assert finding.status == findings.PROBLEM and finding.advice == "uninstall one"


def test_a_gpu_that_jax_does_not_see(monkeypatch):
    monkeypatch.setattr(traps, "_has_nvidia_gpu", lambda: True)
    assert traps.unused_gpu({}, NO_PLUGINS, "gpu") is None
    finding = traps.unused_gpu({}, NO_PLUGINS, "cpu")
    assert finding.status == findings.PROBLEM
    assert finding.advice.startswith('pip install "jax[cuda12]"')
    installed = NO_PLUGINS | {"jax-cuda12-plugin": "0.12.0.1"}
    assert "what jax wrote" in traps.unused_gpu({}, installed, "cpu").advice
    for environ in ({"JAX_PLATFORMS": "cpu"}, {"CUDA_VISIBLE_DEVICES": ""}):
        finding = traps.unused_gpu(environ, NO_PLUGINS, "cpu")
        assert finding.status == findings.NOTE and next(iter(environ)) in finding.advice


def test_an_nvidia_gpu_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(traps, "_NVIDIA", tmp_path / "gpus")
    assert not traps._has_nvidia_gpu()
    program = tmp_path / "nvidia-smi"
    monkeypatch.setattr(traps.shutil, "which", lambda name: str(program))
    for script, found in (("echo GPU 0: X", True), ("echo no driver; exit 9", False)):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        assert traps._has_nvidia_gpu() is found
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    assert traps._has_nvidia_gpu()


def test_other_frameworks_are_noted_on_an_accelerator_only():
    installed = NO_PLUGINS | {"torch": "2.13.0"}
    assert traps.frameworks(installed, "cpu") is None
    finding = traps.frameworks(installed, "gpu")
    assert finding.status == findings.NOTE and finding.value.startswith("torch beside")


def test_a_pil_that_is_not_pillow_is_a_problem(monkeypatch):
    assert traps.pillow() is None
    monkeypatch.setattr("PIL.__version__", "9.5.0.post2")
    finding = traps.pillow()
    assert finding.status == findings.PROBLEM and "9.5.0.post2" in finding.value


def test_variables_are_shown_but_not_what_may_hold_paths():
    environ = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_dump_to=/home/ada"}
    finding = traps.variables(environ)
    assert finding.value.startswith("JAX_PLATFORMS=cpu, XLA_FLAGS set")
    assert finding.status == findings.NOTE and finding.facts == {"JAX_PLATFORMS": "cpu"}


# errors


def test_an_error_of_a_check_is_a_problem_without_folders(monkeypatch):
    def check():
        raise OSError("/home/ada/lib/a.so: no symbol, see https://jax.dev/a/b")

    finding = findings.guarded("name", check, "install it")
    expected = "failed with OSError: .../a.so: no symbol, see https://jax.dev/a/b"
    assert finding == findings.Finding("name", expected, findings.PROBLEM, "install it")
    monkeypatch.setenv("LVMMED_TRACEBACK", "1")
    with pytest.raises(OSError, match="no symbol"):
        findings.guarded("name", check, "")
