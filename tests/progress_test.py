"""The bar on a terminal, nothing elsewhere; a terminal that works afterwards."""

import fcntl
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import termios

import pytest

from lvmmed_jax import progress

ROOT = pathlib.Path(__file__).parents[1]
JOB = """
import sys, time
from lvmmed_jax import progress
with progress.Progress("pretrain", total=40, unit="steps", start=10) as bar:
    for step in range(11, 41):
        time.sleep(0.02)
        bar.update(step, {"loss": 100 / step, "matching_accuracy": 0.41})
        if step == 20:
            bar.say("warning: [bold]rank[/] is " + "very " * 40 + "low")
        if step == 30:
            print("from elsewhere", file=sys.stderr)
            print("early result")
bar.close()
print("result")
"""


def on_terminal(code, *, columns=120, term="xterm-256color", interrupt_at=None):
    """Runs Python code with a terminal as stderr: (exit code, stdout, terminal)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # where pytest is told a width, rich would take it
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env=environment | {"TERM": term},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        shown += piece
        if interrupt_at and interrupt_at in shown:
            process.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(ours)
    printed, _ = process.communicate(timeout=60)
    return process.returncode, printed.decode(), shown.decode()


def _lines(shown):
    """What stays on the terminal: colours gone, lines that were drawn over gone."""
    plain = re.sub(r"\x1b\[[\d;?]*[hlm]", "", shown)
    return [
        line.rstrip("\r").split("\r\x1b[2K")[-1].rstrip() for line in plain.split("\n")
    ]


def test_bar_is_drawn_on_a_terminal_and_results_stay_on_stdout():
    code, printed, shown = on_terminal(JOB)
    assert code == 0 and printed == "early result\nresult\n"
    warning, elsewhere, last, end = _lines(shown)
    assert warning == "warning: [bold]rank[/] is " + "very " * 40 + "low"
    assert elsewhere == "from elsewhere" and end == ""
    pattern = (
        r"pretrain ━+ 40/40  [\d.]+ steps/s  0:00:00 left  "
        r"loss 2\.5  matching_accuracy 0\.41"
    )
    assert re.fullmatch(pattern, last), last
    rates = [float(rate) for rate in re.findall(r"([\d.]+) steps/s", shown)]
    assert 3 < len(rates) < 25 and 5 < rates[-1] < 50  # 30 updates, 20 ms each
    assert "10/40" in shown.split("\r")[0]


def test_narrow_terminal_cuts_the_line():
    _, _, shown = on_terminal(JOB, columns=40)
    last = _lines(shown)[-2]
    assert len(last) <= 40 and "40/40" in last and last.endswith("…")


def test_ctrl_c_leaves_a_cursor_and_a_new_line():
    code = """
import signal
import time
from lvmmed_jax import progress
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
with progress.Progress("prepare", total=9, unit="files") as bar:
    time.sleep(0.2)
    bar.update(3)
    time.sleep(60)
"""
    code, _, shown = on_terminal(code, interrupt_at=b"3/9")
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in shown and shown.count("Traceback") == 1
    assert any(line.startswith("prepare") for line in _lines(shown))


def test_cursor_is_visible_all_the_time():
    _, _, shown = on_terminal(JOB)
    hidden, *drawn = shown.split("\x1b[?25l")
    assert not hidden and len(drawn) == 1
    assert "\x1b[?25h" in drawn[0][: drawn[0].index("\r")]  # before the second drawing


@pytest.mark.parametrize(("columns", "term"), [(0, "xterm"), (100, "dumb")])
def test_terminal_that_cannot_draw_gets_lines_only(columns, term):
    code, _, shown = on_terminal(JOB, columns=columns, term=term)
    assert code == 0
    warning, elsewhere, end = _lines(shown)
    assert warning.startswith("warning: [bold]rank[/]")
    assert (elsewhere, end) == ("from elsewhere", "")
    assert "\x1b" not in shown


def test_elsewhere_nothing_but_what_is_said(capsys):
    with progress.Progress("pretrain", total=3, unit="steps") as bar:
        assert not bar.on_terminal
        bar.update(1, {"loss": 1.0})
        bar.say("step 1")
    bar.close()
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "step 1\n")


@pytest.mark.parametrize(
    ("rate", "text"), [(0.05123, "0.0512"), (99.44, "99.4"), (1234.5, "1234")]
)
def test_rate_text(rate, text):
    assert progress.rate_text(rate, "files") == f"{text} files/s"


def test_values_text():
    values = {"loss": 12.345, "matching_accuracy": float("nan")}
    assert progress.values_text(values) == "loss 12.3  matching_accuracy nan"
