"""The section on evaluations: one table of all runs."""

import re

from work_folders import make_evaluation, make_result, make_run

from lvmmed_jax.report import results


def rows(text):
    """The cells of every row of the table, the head first."""
    (table,) = re.findall(r"<table>(.*?)</table>", text)
    cells = r"<t[hd][^>]*>(.*?)</t[hd]>"
    return [re.findall(cells, row) for row in re.findall(r"<tr>(.*?)</tr>", table)]


def evaluated(name, *found):
    evaluation = make_evaluation() | {"results": list(found)}
    return make_run([], name, evaluation=evaluation)


def test_runs_of_one_random_start_have_one_column_for_it():
    knn, probe = make_result("knn", 0.5, 0.1), make_result("linear_probe", 0.6, 0.1)
    runs = [
        evaluated("a", knn),
        evaluated("b", make_result("knn", 0.5, 0.3), probe),
        make_run([], "c"),
    ]
    text = results.section(runs)
    head, first, second = rows(text)
    assert head == ["measure", "a", "b", "c", "random start", "train / test"]
    assert first == [
        "k-NN: plane (accuracy)",
        "0.600 [0.555, 0.645]<small>+0.100 [+0.060, +0.140]</small>",
        "0.800 [0.755, 0.845] ▲\u00a0highest<small>+0.300 [+0.260, +0.340]</small>",
        "–",
        "0.500 [0.450, 0.550]",
        "675 / 225",
    ]
    assert [cell == "–" for cell in second[1:4]] == [True, False, True]
    assert "c: The encoder has not been compared with its random start" in text
    assert "a difference between two runs of one seed each is no finding" in text


def test_other_random_starts_have_columns_of_their_own():
    first, second = make_result("knn", 0.5, 0.1), make_result("knn", 0.4, 0.2)
    second["num_test"] = 9
    head, row = rows(results.section([evaluated("a", first), evaluated("b", second)]))
    assert head[3:5] == [
        "random start<small>of a</small>",
        "random start<small>of b</small>",
    ]
    assert row[3:] == [
        "0.500 [0.450, 0.550]",
        "0.400 [0.350, 0.450]",
        "675 / 225; 675 / 9",
    ]


def test_runs_without_an_evaluation_say_how_to_make_one():
    text = results.section([make_run([], "a"), make_run([], "b")])
    assert "<table" not in text and "<svg" not in text
    assert "lvmmed evaluate a --data SHARDS" in text
    assert "lvmmed evaluate b --data SHARDS" in text


def test_few_labels_and_leakage_are_told():
    found = {"leaked": 3, "compared": 225, "tested": 225, "kinds": {"same image": 3}}
    whole = make_result("knn", 0.5, 0.1) | {"leakage": found}
    few = make_result("knn", 0.4, 0.1) | {"labels": "5 %", "leakage": found}
    text = results.section([evaluated("a", whole, few)])
    _, first, second = rows(text)
    assert first[0] == "k-NN: plane (accuracy)"
    assert second[0] == "k-NN: plane, from 5 % (accuracy)"
    assert first[-1] == "675 / 225<small>leakage: 3 of 225 test images</small>"
    assert "was not looked for" not in text
    several = rows(results.section([evaluated("a", whole, few), evaluated("b", few)]))
    assert [row[0] for row in several[1:]] == [first[0], second[0]]
    alone = results.section([evaluated("a", make_result("knn", 0.5, 0.1))])
    assert "evaluate --against SHARDS does it" in alone
