import pytest

from lvmmed_jax import command_line
from lvmmed_jax.commands import quickstart


@pytest.fixture
def calls(monkeypatch):
    found = []
    for name in ("prepare", "pretrain", "evaluate", "report"):

        def main(words, name=name):
            found.append((name, words))
            return 143 if "stop" in words[-1] and name == "pretrain" else 0

        monkeypatch.setattr(getattr(quickstart, name), "main", main)
    return found


def test_runs_the_commands_that_it_prints(calls, capsys):
    assert command_line.main(["quickstart", "--workdir", "my run", "--steps", "7"]) == 0
    assert [name for name, _ in calls] == ["prepare", "pretrain", "evaluate", "report"]
    assert calls[1][1][-1] == "--train.steps=7"
    printed = capsys.readouterr().out
    for name, words in calls:
        assert quickstart.command_text(name, words) in printed
    assert "--workdir 'my run'" in printed


def test_first_command_that_stops_ends_it(calls, monkeypatch):
    monkeypatch.setattr(quickstart.pretrain, "main", lambda words: 143)
    assert command_line.main(["quickstart"]) == 143
    assert [name for name, _ in calls] == ["prepare"]
