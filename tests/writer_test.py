"""metrics.jsonl, plain lines, and sinks that fail."""

import json
import re

import pytest

from lvmmed_jax.train import sinks, writer


def _writer(workdir, *given, start=0, judge=lambda lines: ()):
    form = writer.Form("pretrain", ("loss", "matching_accuracy"), judge)
    return writer.Writer(
        workdir, start=start, num_steps=4, global_batch=8, form=form, sinks=given
    )


def _notes(name="notes", fails=(), fails_at_end=False):
    """A sink that takes notes, and raises at some steps."""
    calls = []

    def write(step, metrics):
        calls.append((step, metrics))
        if step in fails:
            raise ConnectionError("no\nserver")

    def close(failed):
        calls.append(failed)
        if fails_at_end:
            raise TimeoutError("no answer")

    return sinks.Sink(name, write, close), calls


def test_sinks_get_what_metrics_jsonl_gets(tmp_path):
    sink, calls = _notes()
    with _writer(tmp_path, sink) as out:
        out.write(0, {"matching_accuracy": 0.5})
        out.write(1, {"loss": 2.0, "gradient_norm": float("nan")})
    lines = writer.read(tmp_path / writer.FILE)
    assert list(lines[1]) == ["step", "images", "seconds", "loss", "gradient_norm"]
    assert lines[0]["images"] == 0 and lines[1]["images"] == 8
    *written, failed = calls
    assert not failed
    found = [{"step": step, **metrics} for step, metrics in written]
    assert json.dumps(found) == json.dumps(lines)  # also where a value is nan


def test_failing_sink_is_left_with_one_warning(tmp_path, capsys):
    bad, bad_calls = _notes("bad", fails=(1, 2))
    good, good_calls = _notes()
    with _writer(tmp_path, bad, good) as out:
        for step in (1, 2, 3):
            out.write(step, {"loss": 1.0})
    assert [call[0] for call in bad_calls[:-1]] == [1] and bad_calls[-1] is True
    assert [call[0] for call in good_calls[:-1]] == [1, 2, 3]
    assert len(writer.read(tmp_path / writer.FILE)) == 3
    output = capsys.readouterr()
    warnings = [line for line in output.err.splitlines() if "warning" in line]
    assert warnings == [
        "warning at step 1: bad: ConnectionError: no server; the run goes on without it"
    ]
    assert output.out == ""


def test_sink_that_fails_at_the_end_is_a_warning(tmp_path, capsys):
    bad, _ = _notes("bad", fails_at_end=True)
    good, calls = _notes()
    with _writer(tmp_path, bad, good):
        pass
    assert calls == [False]
    assert capsys.readouterr().err == "warning: bad: TimeoutError: no answer\n"


def test_sinks_are_told_that_a_run_failed(tmp_path):
    sink, calls = _notes()
    with pytest.raises(KeyError), _writer(tmp_path, sink):
        raise KeyError
    assert calls == [True]


def test_plain_lines_where_stderr_is_no_terminal(tmp_path, capsys):
    judge = lambda lines: ("collapse",) if len(lines) > 1 else ()  # noqa: E731
    with _writer(tmp_path, judge=judge) as out:
        for step in (0, 1, 2):
            out.progress(step, {"matching_accuracy": 0.25})
            out.write(step, {"matching_accuracy": 0.25})
        out.progress(3, {"loss": 2.0})
        out.write(3, {"loss": 2.0, "images_per_second": 12.4})
    output = capsys.readouterr()
    warning, line = output.err.splitlines()
    assert warning == "warning at step 1: collapse"
    pattern = r"step 3/4  12 images/s  matching_accuracy 0\.25  loss 2  \d+ s left"
    assert re.fullmatch(pattern, line), line
    assert output.out == ""


def test_resuming_drops_lines_that_will_be_written_again(tmp_path):
    with _writer(tmp_path) as out:
        for step in range(4):
            out.write(step, {"matching_accuracy": 0.5})
            out.write(step + 1, {"loss": 1.0})
    with _writer(tmp_path, start=2) as out:
        out.write(2, {"matching_accuracy": 0.6})
    lines = writer.read(tmp_path / writer.FILE)
    found = [(line["step"], "loss" in line) for line in lines]
    assert found == [
        *((0, False), (1, True), (1, False), (2, True)),
        (2, False),
    ]
    assert lines[-1]["matching_accuracy"] == 0.6
    assert lines[-1]["seconds"] >= lines[-2]["seconds"]
