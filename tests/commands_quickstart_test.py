import pytest

from lvmmed_jax import command_line
from lvmmed_jax.commands import evaluate, prepare, pretrain, quickstart, report

NAMES = ["prepare", "pretrain", "evaluate", "report"]


@pytest.fixture
def run(monkeypatch):
    """Runs quickstart with commands that only note their words and end as told."""

    def start(*words, codes=(0, 0, 0, 0)):
        calls = []
        for name, code in zip(NAMES, codes, strict=True):

            def main(argv, name=name, code=code):
                calls.append((name, argv))
                return code

            monkeypatch.setattr(getattr(quickstart, name), "main", main)
        return command_line.main(["quickstart", *words]), calls

    return start


@pytest.mark.parametrize(
    ("called", "program"),
    [("/x/run.py", "python run.py"), ("/x/bin/lvmmed", "lvmmed")],
)
def test_runs_the_commands_that_it_prints(run, capsys, monkeypatch, called, program):
    monkeypatch.setattr("sys.argv", [called])
    code, calls = run("--workdir", "my run", "--steps", "7")
    assert code == 0 and [name for name, _ in calls] == NAMES
    output = capsys.readouterr()
    printed = [line.strip() for line in output.out.splitlines() if program in line]
    assert printed == [quickstart.command_text(name, words) for name, words in calls]
    announced = [line.partition("] ")[2] for line in output.err.splitlines()]
    assert announced == printed
    assert "--workdir 'my run'" in printed[1] and "--train.steps=7" in printed[1]


@pytest.mark.parametrize("position", range(4))
def test_first_command_that_stops_ends_it(run, capsys, position):
    codes = [0] * 4
    codes[position] = 143
    code, calls = run(codes=codes)
    assert code == 143 and [name for name, _ in calls] == NAMES[: position + 1]
    assert not capsys.readouterr().out


def test_each_command_takes_its_words():
    plan = dict(quickstart.commands("some/folder", 7))
    assert list(plan) == NAMES
    parser = prepare._parser()
    prepared = parser.parse_args(plan["prepare"])
    prepare._check(prepared, parser)
    trained, overrides = pretrain._parse(plan["pretrain"])
    (evaluated,) = evaluate._parse(plan["evaluate"]).model
    (reported,) = report._parser().parse_args(plan["report"]).workdirs
    assert overrides == {"train.steps": "7"}
    # each takes what the one before it made
    assert trained.data == str(prepared.out)
    assert trained.workdir == evaluated == str(reported) == "some/folder"


def test_length_of_the_config_where_none_is_asked_for():
    _, overrides = pretrain._parse(dict(quickstart.commands("x", None))["pretrain"])
    assert overrides == {}


@pytest.mark.parametrize("words", [["--steps", "0"], ["--steps", "x"], ["folder"]])
def test_misuse_ends_with_2(run, words, capsys):
    with pytest.raises(SystemExit) as end:
        run(*words)
    assert end.value.code == 2
