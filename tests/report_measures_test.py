"""The rows of the table of evaluations, and what is marked in it."""

from work_folders import make_result, make_run

from lvmmed_jax.report import measures


def evaluated(*results, **about):
    about = {"data": "shards/brain", "part": "test"} | about
    return make_run([], evaluation={**about, "results": list(results)})


def measure(*runs):
    """The one row of runs with one result each."""
    (row,) = measures.measures([evaluated(result) for result in runs])
    return row


def test_rows_are_sorted_and_complete_where_a_run_lacks_a_measure():
    knn, probe = make_result("knn", 0.7, 0.1), make_result("linear_probe", 0.7, 0.1)
    dice = make_result("linear_probe", 0.6, 0.1, "white matter")
    runs = [evaluated(dice, probe), make_run([]), evaluated(knn, probe)]
    rows = measures.measures(runs)
    assert [(row.task, row.class_name) for row in rows] == [
        ("knn", None),
        ("linear_probe", None),
        ("linear_probe", "white matter"),
    ]
    assert [row.results for row in rows] == [
        (None, None, knn),
        (probe, None, probe),
        (dice, None, None),
    ]
    assert measures.measures([make_run([])] * 2) == []


def test_other_data_and_other_parts_are_other_rows():
    knn = make_result("knn", 0.7, 0.1)
    runs = [
        evaluated({**knn, "data": "brain"}),
        evaluated({**knn, "data": "breast"}, data="brain breast"),
        evaluated({**knn, "data": "brain"}, part="val"),
        evaluated(knn),  # an older file names its data once
    ]
    rows = measures.measures(runs)
    found = [tuple(bool(result) for result in row.results) for row in rows]
    assert found == [
        (True, False, False, True),
        (False, False, True, False),
        (False, True, False, False),
    ]
    assert measures.labels(rows) == [
        "brain, part test, k-NN: plane (accuracy)",
        "brain, part val, k-NN: plane (accuracy)",
        "breast, part test, k-NN: plane (accuracy)",
    ]
    same = measures.measures([runs[0], runs[3]])
    assert measures.labels(same) == ["k-NN: plane (accuracy)"]


def test_results_of_one_name_stay_apart():
    runs = [evaluated(make_result("knn", 0.7, 0.1), make_result("knn", 0.5, 0.1))] * 2
    rows = measures.measures(runs)
    values = [[one["random"]["value"] for one in row.results] for row in rows]
    assert values == [[0.7, 0.7], [0.5, 0.5]]


def test_highest_must_clear_every_other_interval():
    low, high = make_result("knn", 0.5, 0.1), make_result("knn", 0.5, 0.25)
    near = make_result("knn", 0.5, 0.18)
    assert measures.highest(measure(low, high)) == 1
    assert measures.highest(measure(high, low)) == 0
    assert measures.highest(measure(low, near)) is None
    assert measures.highest(measure(near, low, high)) is None
    assert measures.highest(measure(high)) is None


def test_highest_must_clear_the_random_starts():
    weak, strong = make_result("knn", 0.5, -0.3), make_result("knn", 0.5, 0.02)
    assert measures.highest(measure(weak, strong)) is None


def test_highest_needs_equal_numbers_of_images():
    low, high = make_result("knn", 0.5, 0.1), make_result("knn", 0.5, 0.25)
    for count in ("num_train", "num_test"):
        assert measures.highest(measure(low, {**high, count: 9})) is None


def test_equal_random_starts_are_one():
    first, same = make_result("knn", 0.5, 0.1), make_result("knn", 0.5, 0.2)
    other = make_result("knn", 0.4, 0.1)
    runs = [evaluated(one) for one in (first, other, same)]
    runs.insert(1, make_run([]))
    starts = measures.random_starts(measures.measures(runs))
    assert starts == [[0, 3], [2]]


def test_random_starts_without_a_common_measure_are_not_called_equal():
    runs = [evaluated(make_result(task, 0.5, 0.1)) for task in ("knn", "linear_probe")]
    starts = measures.random_starts(measures.measures(runs))
    assert starts == [[0], [1]]
