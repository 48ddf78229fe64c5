"""Where metrics go beside metrics.jsonl: TensorBoard files, W&B, MLflow."""

import contextlib
import importlib.util
import json
import math
import os
import pathlib
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

REMOTE = ("wandb", "mlflow")  # the choices of --log
FILE = "sinks.json"  # {name: id of the run there}
_FOLDER = "tensorboard"
_AXES = ("images", "seconds")  # grow with the step: no curves
_MAX_WAITING = 1000  # lines that a server has not taken
_MAX_SECONDS = 60.0  # for the last of them, at the end
# of wandb's settings whose names may change, those that say less about the machine
_WANDB_QUIET = {
    "disable_code": True,
    "host": "",
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class Sink(NamedTuple):
    """One place that metrics go to.

    Attributes:
      name: how warnings call it.
      write: takes a step and its metrics; may raise anything.
      close: waits until all is written; takes whether the run failed.
    """

    name: str
    write: Callable[[int, dict[str, float]], None]
    close: Callable[[bool], None]


def check(names: Iterable[str]) -> None:
    """Checks, without an import, that the packages of `--log NAME` are installed.

    Args:
      names: some of `REMOTE`.

    Raises:
      ValueError: a name is not known, or its package is missing.
    """
    for name in names:
        if name not in REMOTE:
            raise ValueError(f"--log {name}: one of {', '.join(REMOTE)}")
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # or a mere folder of that name
            raise ValueError(f"--log {name}: no such package: pip install {name}")


def open_all(
    names: Iterable[str], workdir: pathlib.Path, *, start: int, config: dict[str, Any]
) -> list[Sink]:
    """TensorBoard files and what `--log` names; the same work folder, the same runs.

    Args:
      names: some of `REMOTE`. Server, project and experiment are set in the
        environment, as their own manuals say.
      workdir: takes the folder `tensorboard` and the ids of the runs.
      start: updates already done; what TensorBoard shows of later steps is purged.
      config: JSON values that the run there is described with.

    Returns:
      The sinks, TensorBoard's first; whoever takes them closes them.

    Raises:
      ValueError: a package is missing, or a server does not open the run.
    """
    names = list(dict.fromkeys(names))
    check(names)
    openers = {"wandb": _open_wandb, "mlflow": _open_mlflow}
    with contextlib.ExitStack() as opened:
        sinks = [tensorboard(workdir / _FOLDER, start=start)]
        opened.callback(sinks[0].close, True)
        for name in names:
            try:
                # both print addresses, and stdout is for results
                with contextlib.redirect_stdout(sys.stderr):
                    sinks.append(openers[name](workdir, config))
            except Exception as error:
                known = f" (its run stands in {workdir / FILE})"
                hint = known if name in _read_ids(workdir) else ""
                raise ValueError(f"--log {name}: {error}{hint}") from error
            opened.callback(sinks[-1].close, True)
        opened.pop_all()
    return sinks


def tensorboard(folder: pathlib.Path, *, start: int) -> Sink:
    """TensorBoard files, as `training/NAME` and `evaluation/NAME`.

    TensorBoard unfolds two groups by itself, and without a prefix every metric is a
    group. Lines are written at once and by no thread: a full disk raises here, where
    `tensorboardX.SummaryWriter` waits for ever. The file's name holds no host name.

    Args:
      folder: takes one more file.
      start: updates already done; later steps of the files before are purged.

    Returns:
      The sink.
    """
    import tensorboardX
    from tensorboardX.proto import event_pb2, summary_pb2

    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob("*.tfevents.*")))  # files are read in this order
    path = folder / f"events.out.tfevents.{int(time.time()):010d}.{number:04d}"
    file = tensorboardX.RecordWriter(str(path))

    def put(**fields):
        event = event_pb2.Event(wall_time=time.time(), **fields)
        file.write(event.SerializeToString())
        file.flush()

    def write(step, metrics):
        group = "training" if "loss" in metrics else "evaluation"
        values = [
            summary_pb2.Summary.Value(tag=f"{group}/{name}", simple_value=value)
            for name, value in metrics.items()
            if name not in _AXES
        ]
        put(step=step, summary=summary_pb2.Summary(value=values))

    put(file_version="brain.Event:2")
    session = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    put(step=start + 1, session_log=session)
    return Sink("tensorboard", write, lambda failed: file.close())


def _open_wandb(workdir: pathlib.Path, config: dict[str, Any]) -> Sink:
    """A run of Weights & Biases; its axes are `step`, `images` and `seconds`.

    A resumed run repeats steps that W&B has, so its own step, which only grows, is
    left alone.
    """
    import wandb

    known = _read_ids(workdir)
    run_id = known.get("wandb") or secrets.token_hex(4)
    settings = wandb.Settings(
        save_code=False,
        disable_git=True,
        disable_job_creation=True,
        console="off",
        quiet=True,
        **{
            name: value
            for name, value in _WANDB_QUIET.items()
            if name in wandb.Settings.model_fields
        },
    )
    run = wandb.init(
        id=run_id,
        resume="allow",
        dir=os.environ.get("WANDB_DIR") or str(workdir),
        config=config,
        allow_val_change=True,
        settings=settings,
    )
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    _write_ids(workdir, {**known, "wandb": run_id})

    def write(step, metrics):
        run.log({"step": step, **metrics})

    return _in_background(
        Sink("wandb", write, lambda failed: run.finish(exit_code=int(failed)))
    )


def _open_mlflow(workdir: pathlib.Path, config: dict[str, Any]) -> Sink:
    """A run of MLflow; a value that is not finite, which it cannot draw, is left out.

    Through its client alone: the module's own active run ends, and waits for its
    server, when Python exits.
    """
    import mlflow
    from mlflow import entities

    client = mlflow.MlflowClient()
    known = _read_ids(workdir)
    run_id = known.get("mlflow") or os.environ.get("MLFLOW_RUN_ID")
    if run_id:
        client.update_run(run_id, status="RUNNING")
    else:
        tags = {"mlflow.source.name": "lvmmed pretrain"}
        run_id = client.create_run(_mlflow_experiment(client), tags=tags).info.run_id
    if "mlflow" not in known:  # a parameter of a run cannot change
        settings = _flat(config).items()
        client.log_batch(
            run_id, params=[entities.Param(name, str(x)) for name, x in settings]
        )
        _write_ids(workdir, {**known, "mlflow": run_id})

    def write(step, metrics):
        now = round(1000 * time.time())
        values = [
            entities.Metric(name, value, now, step)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        client.log_batch(run_id, metrics=values)

    def close(failed):
        client.set_terminated(run_id, "FAILED" if failed else "FINISHED")

    return _in_background(Sink("mlflow", write, close))


def _mlflow_experiment(client: Any) -> str:
    """The id of the experiment that the environment names, made where it is new."""
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if not name:
        return os.environ.get("MLFLOW_EXPERIMENT_ID") or "0"
    found = client.get_experiment_by_name(name)
    return found.experiment_id if found else client.create_experiment(name)


def _in_background(sink: Sink) -> Sink:
    """Writes from a thread: no step waits for a server, and the end not for ever.

    What goes wrong there is raised by the next `write`, or by `close`.
    """
    waiting = queue.Queue(_MAX_WAITING)
    outcome = []  # the error that ended the thread, if one did

    def work():
        try:
            while not isinstance(line := waiting.get(), bool):
                sink.write(*line)
            sink.close(line)
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name=sink.name, daemon=True)
    thread.start()

    def write(step, metrics):
        if outcome:
            raise outcome[0]
        try:
            waiting.put_nowait((step, metrics))
        except queue.Full:
            raise TimeoutError(f"{_MAX_WAITING} lines wait for the server") from None

    def close(failed):
        with contextlib.suppress(queue.Full):
            waiting.put_nowait(failed)
        # an address is printed at the end too
        with contextlib.redirect_stdout(sys.stderr):
            thread.join(_MAX_SECONDS)
        if outcome:
            raise outcome[0]
        if thread.is_alive():
            raise TimeoutError("the server has not taken the last lines")

    return Sink(sink.name, write, close)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _read_ids(workdir: pathlib.Path) -> dict[str, str]:
    path = workdir / FILE
    return json.loads(path.read_text()) if path.exists() else {}


def _write_ids(workdir: pathlib.Path, ids: dict[str, str]) -> None:
    partial = workdir / f"{FILE}.partial"
    partial.write_text(json.dumps(ids) + "\n")
    partial.replace(workdir / FILE)
