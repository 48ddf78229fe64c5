"""The `catalogue` command: the table, one entry, JSON, and a wrong name."""

import json
import subprocess
import sys

import pytest

from data_pipelines import slices
from data_pipelines.catalogue import paper
from lvmmed_jax import command_line
from lvmmed_jax.commands import catalogue as command

NAMES = [source.name for source in paper.SOURCES]


def _printed(capsys, *words):
    assert command.main([*words]) == 0
    return capsys.readouterr().out


def test_the_table_has_a_sorted_line_for_each_and_fits_100_columns(capsys):
    lines = _printed(capsys).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["name", "modality", "organ", "size", "takes", "licence"]
    table = lines[1 : lines.index("")]
    assert [line.split()[0] for line in table] == sorted(NAMES, key=str.lower)
    (kits,) = [line for line in table if line.startswith("KiTS19")]
    assert kits.split("  ")[-1].strip() == "CC BY-NC-SA 4.0"
    for word in (" CT ", " kidney ", " 3-D ", " 300 volumes ", " a fifth "):
        assert word in kits


def test_the_table_ends_with_counts_by_modality(capsys):
    said = " ".join(_printed(capsys).split("\n\n")[1].split())
    assert said.startswith("55 sources: 22 CT (computed tomography), 13 MR ")
    assert "official training part of 11, a random fifth of the other 44" in said


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_fits_and_says_how_it_lies(name, capsys):
    source = paper.find(name)
    text = _printed(capsys, name)
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith(f"{name}\n{source.title}\n")
    flat = " ".join(text.split())
    for pattern in source.images:  # never broken over lines
        assert pattern in text
    for pattern, reason in source.others:
        assert pattern in text and reason in text
    for said in (paper.guard(source), source.part, source.doubt or ""):
        assert " ".join(said.split()) in flat
    for code in source.modalities:
        assert f"{code} ({slices.MODALITIES[code]})" in flat
    assert f"--dataset {name} " in text and "None" not in text


def test_unknown_is_said_and_not_left_out(capsys):
    flat = " ".join(_printed(capsys, "x-ray-shoulder").split())
    assert "size unknown licence not known here: see its page get it unknown" in flat
    assert "unsure which set it is" in flat


def test_json_of_all_and_of_one(capsys):
    rows = json.loads(_printed(capsys, "--json"))
    assert [row["name"] for row in rows] == NAMES
    one = json.loads(_printed(capsys, "nucls", "--json"))
    assert one == rows[NAMES.index("NuCLS")]
    assert one["own_list"]["path"] == "train_test_splits/fold_1_train.csv"
    assert one["others"][0]["reason"] == "a label" and one["share"] is None
    assert rows[NAMES.index("KiTS19")]["share"] == 0.2


def test_a_wrong_name_is_one_line_with_the_nearest(capsys):
    assert command_line.main(["catalogue", "kvasirr"]) == 1
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and "Kvasir" in output.err and not output.out


def test_help_starts_at_once():
    code = "import time; t = time.monotonic()\n"
    code += "from lvmmed_jax import command_line\n"
    code += "try: command_line.main(['catalogue', '--help'])\n"
    code += "except SystemExit: pass\n"
    code += "assert time.monotonic() - t < 0.5"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
