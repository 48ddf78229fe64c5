"""TensorBoard files read back; W&B and MLflow as modules that take notes."""

import importlib.machinery
import itertools
import json
import struct
import sys
import threading
import time
import types

import pytest
from tensorboardX.proto import event_pb2

from lvmmed_jax.train import sinks

CONFIG = {"model": {"encoder": "resnet8", "width": 4}, "optimizer": {"halve_at": []}}
NAN, INF = float("nan"), float("inf")


def _events(path):
    """The events of a TensorBoard file: length, checksum, event, checksum."""
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def _curves(folder):
    """{tag: {step: value}} as TensorBoard shows it: a new session purges."""
    curves = {}
    for path in sorted(folder.iterdir()):
        for event in _events(path):
            if event.session_log.status == event_pb2.SessionLog.START:
                for curve in curves.values():
                    for step in [step for step in curve if step >= event.step]:
                        del curve[step]
            for value in event.summary.value:
                curves.setdefault(value.tag, {})[event.step] = value.simple_value
    return curves


def _module(monkeypatch, name, **members):
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, origin="a test")
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.fixture
def wandb(monkeypatch):
    """A wandb whose runs are lists of calls."""
    monkeypatch.delenv("WANDB_DIR", raising=False)

    class Run:
        def __init__(self, **arguments):
            self.arguments, self.calls = arguments, []
            print("View run at https://...")

        def __getattr__(self, name):
            return lambda *words, **named: self.calls.append((name, words, named))

    class Settings(dict):
        model_fields = frozenset({"x_disable_meta"})

    runs = []

    def init(**arguments):
        runs.append(Run(**arguments))
        return runs[-1]

    _module(monkeypatch, "wandb", init=init, Settings=Settings)
    return runs


@pytest.fixture
def mlflow(monkeypatch):
    """An mlflow whose server is a dict of runs."""
    for name in ("EXPERIMENT_NAME", "EXPERIMENT_ID", "RUN_ID"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    server = types.SimpleNamespace(runs={}, experiments={}, fail=False)
    numbers = itertools.count(1)

    class Client:
        def create_run(self, experiment_id, tags):
            run_id = f"run{next(numbers)}"
            server.runs[run_id] = {
                "experiment": experiment_id,
                "tags": tags,
                "status": "RUNNING",
                "params": {},
                "metrics": [],
            }
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id))

        def update_run(self, run_id, status):
            if run_id not in server.runs:
                raise RuntimeError(f"Run with id={run_id} not found")
            server.runs[run_id]["status"] = status

        def log_batch(self, run_id, metrics=(), params=()):
            if server.fail:
                raise ConnectionError("no\nserver")
            server.runs[run_id]["metrics"] += [
                (m.key, m.value, m.step) for m in metrics
            ]
            server.runs[run_id]["params"] |= {p.key: p.value for p in params}

        def set_terminated(self, run_id, status):
            server.runs[run_id]["status"] = status
            print("View run at https://...")

        def get_experiment_by_name(self, name):
            number = server.experiments.get(name)
            return number and types.SimpleNamespace(experiment_id=number)

        def create_experiment(self, name):
            return server.experiments.setdefault(name, "7")

    entities = _module(
        monkeypatch,
        "mlflow.entities",
        Metric=lambda key, value, timestamp, step: types.SimpleNamespace(
            key=key, value=value, step=step
        ),
        Param=lambda key, value: types.SimpleNamespace(key=key, value=value),
    )
    _module(monkeypatch, "mlflow", MlflowClient=Client, entities=entities)
    return server


def _run(names, workdir, lines, *, start=0, failed=False, config=CONFIG):
    opened = sinks.open_all(names, workdir, start=start, config=config)
    for sink in opened:
        for step, metrics in lines:
            sink.write(step, metrics)
    for sink in opened:
        sink.close(failed)
    return [sink.name for sink in opened]


def test_tensorboard_files_hold_every_metric_and_no_host_name(tmp_path):
    lines = [
        (0, {"images": 0, "seconds": 0.1, "matching_accuracy": 0.25}),
        (1, {"images": 32, "seconds": 0.2, "loss": 3.5, "gradient_norm": INF}),
        (2, {"images": 64, "seconds": 0.3, "loss": NAN, "gradient_norm": 1.0}),
    ]
    assert _run([], tmp_path, lines) == ["tensorboard"]
    (path,) = (tmp_path / "tensorboard").iterdir()
    assert path.name.replace(".", "").removeprefix("eventsouttfevents").isdigit()
    assert _events(path)[0].file_version == "brain.Event:2"
    assert _curves(path.parent) == {
        "evaluation/matching_accuracy": {0: 0.25},
        "training/loss": {1: 3.5, 2: pytest.approx(NAN, nan_ok=True)},
        "training/gradient_norm": {1: INF, 2: 1.0},
    }
    assert {path.name for path in tmp_path.iterdir()} == {"tensorboard"}


def test_a_line_can_be_read_while_the_run_goes_on(tmp_path):
    threads = threading.enumerate()
    (sink,) = sinks.open_all([], tmp_path, start=0, config=CONFIG)
    sink.write(1, {"loss": 2.0})
    assert _curves(tmp_path / "tensorboard") == {"training/loss": {1: 2.0}}
    assert threading.enumerate() == threads
    sink.close(False)


def test_resuming_purges_what_tensorboard_shows_of_later_steps(tmp_path):
    before = [(step, {"loss": float(step)}) for step in range(1, 7)]
    _run([], tmp_path, before)
    _run([], tmp_path, [(5, {"loss": 50.0})], start=4)  # within the same second too
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    expected = {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0, 5: 50.0}
    assert _curves(tmp_path / "tensorboard") == {"training/loss": expected}


def test_wandb_gets_lines_config_and_no_code(wandb, tmp_path, capsys):
    assert _run(["wandb"], tmp_path, [(3, {"loss": 1.0, "x": NAN})])[1:] == ["wandb"]
    (run,) = wandb
    ids = json.loads((tmp_path / sinks.FILE).read_text())
    assert run.arguments["id"] == ids["wandb"] and run.arguments["resume"] == "allow"
    assert run.arguments["config"] == CONFIG
    assert run.arguments["dir"] == str(tmp_path)
    settings = run.arguments["settings"]
    assert settings["save_code"] is False and settings["disable_git"] is True
    assert settings["console"] == "off" and settings["x_disable_meta"] is True
    assert "x_save_requirements" not in settings  # this wandb knows no such setting
    assert ("define_metric", ("*",), {"step_metric": "step"}) in run.calls
    (logged,) = [words[0] for name, words, _ in run.calls if name == "log"]
    assert logged == {"step": 3, "loss": 1.0, "x": pytest.approx(NAN, nan_ok=True)}
    assert run.calls[-1] == ("finish", (), {"exit_code": 0})
    assert capsys.readouterr().out == ""


def test_mlflow_gets_finite_values_and_config(mlflow, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    _run(["mlflow"], tmp_path, [(3, {"loss": 1.0, "x": NAN, "y": INF})])
    (run,) = mlflow.runs.values()
    assert run == {
        "experiment": "7",
        "tags": {"mlflow.source.name": "lvmmed pretrain"},
        "status": "FINISHED",
        "params": {
            "model.encoder": "resnet8",
            "model.width": "4",
            "optimizer.halve_at": "[]",
        },
        "metrics": [("loss", 1.0, 3)],
    }
    assert mlflow.experiments == {"mine": "7"}
    assert capsys.readouterr().out == ""


def test_the_same_work_folder_goes_on_in_the_same_runs(wandb, mlflow, tmp_path):
    names = ["wandb", "mlflow", "wandb"]
    assert _run(names, tmp_path, [(1, {"loss": 1.0})], failed=True) == [
        *("tensorboard", "wandb", "mlflow")
    ]
    assert wandb[0].calls[-1] == ("finish", (), {"exit_code": 1})
    assert mlflow.runs["run1"]["status"] == "FAILED"
    other = {"train": {"log_every_steps": 2}}  # may change within a run
    _run(names, tmp_path, [(2, {"loss": 2.0})], start=1, config=other)
    assert wandb[0].arguments["id"] == wandb[1].arguments["id"]
    assert wandb[1].arguments["allow_val_change"]
    (run,) = mlflow.runs.values()
    assert run["metrics"] == [("loss", 1.0, 1), ("loss", 2.0, 2)]
    assert run["status"] == "FINISHED"
    assert "train.log_every_steps" not in run["params"]


def test_another_work_folder_is_another_run(wandb, mlflow, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _run(["wandb", "mlflow"], tmp_path / name, [])
    assert wandb[0].arguments["id"] != wandb[1].arguments["id"]
    assert len(mlflow.runs) == 2


def test_run_that_the_server_does_not_have(mlflow, tmp_path):
    (tmp_path / sinks.FILE).write_text('{"mlflow": "gone"}')
    message = r"--log mlflow: Run with id=gone not found \(its run .*sinks.json\)"
    with pytest.raises(ValueError, match=message):
        _run(["mlflow"], tmp_path, [])
    assert not mlflow.runs


@pytest.mark.parametrize("name", sinks.REMOTE)
def test_missing_package_is_named_with_its_flag(monkeypatch, tmp_path, name):
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / name).mkdir()  # as these tools make where they are used
    message = f"^--log {name}: no such package: pip install {name}$"
    with pytest.raises(ValueError, match=message):
        sinks.check([name])
    with pytest.raises(ValueError, match=message):
        sinks.open_all([name], tmp_path / "w", start=0, config=CONFIG)
    assert not (tmp_path / "w").exists()


def test_unknown_name():
    with pytest.raises(ValueError, match="--log comet: one of wandb, mlflow"):
        sinks.check(["comet"])


def test_a_sink_that_does_not_open_closes_those_before(wandb, mlflow, tmp_path):
    mlflow.fail = True
    with pytest.raises(ValueError, match="--log mlflow: no\nserver"):
        sinks.open_all(["wandb", "mlflow"], tmp_path, start=0, config=CONFIG)
    assert wandb[0].calls[-1] == ("finish", (), {"exit_code": 1})


def test_error_of_a_server_is_raised_by_a_later_write_or_the_end(mlflow, tmp_path):
    files, sink = sinks.open_all(["mlflow"], tmp_path, start=0, config=CONFIG)
    mlflow.fail = True
    sink.write(1, {"loss": 1.0})
    with pytest.raises(ConnectionError):
        for _ in range(500):
            time.sleep(0.01)
            sink.write(2, {"loss": 1.0})
    with pytest.raises(ConnectionError):
        sink.close(False)
    files.close(False)


def test_server_that_hangs_holds_up_neither_steps_nor_the_end(
    wandb, tmp_path, monkeypatch
):
    monkeypatch.setattr(sinks, "_MAX_SECONDS", 0.2)
    monkeypatch.setattr(sinks, "_MAX_WAITING", 5)
    files, sink = sinks.open_all(["wandb"], tmp_path, start=0, config=CONFIG)
    (run,) = wandb
    answer = threading.Event()
    run.log = lambda values: answer.wait(60)
    with pytest.raises(TimeoutError, match="5 lines wait"):
        for step in range(10):
            sink.write(step, {"loss": 1.0})
    with pytest.raises(TimeoutError, match="last lines"):
        sink.close(False)
    answer.set()
    files.close(False)
