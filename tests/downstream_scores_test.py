import numpy as np
import pytest

from lvmmed_jax import mask_metrics
from lvmmed_jax.downstream import intervals, predictions, scores
from lvmmed_jax.tasks import stem


def _masks(truth, found, names=("background", "liver", "spleen", "gland")):
    labels = range(1, len(names))
    pairs = list(zip(truth, found, strict=True))
    there = [
        np.array([[(m == k).any() for k in labels] for m in s]) for s in (truth, found)
    ]
    values = {
        name: np.array([[metric(*pair, k) for k in labels] for pair in pairs])
        for name, metric in mask_metrics.METRICS.items()
    }
    return predictions.Masks(names, np.arange(len(truth)), *there, values)


def _named(found, metric, class_name=None):
    rows = np.arange(len(found.groups))
    (score,) = (
        each
        for each in scores.scores(found)
        if (each.metric, each.class_name) == (metric, class_name)
    )
    return score, score.of(rows)


def _squares(*corners, size=12):
    """Masks in which class k is a square at corner k; None: it is not there."""
    mask = np.zeros((size, size), np.int32)
    for label, corner in enumerate(corners, start=1):
        if corner is not None:
            mask[corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] = label
    return mask


TRUTH = [_squares((0, 0), (6, 6)), _squares((2, 2)), _squares(None, (5, 0))]
FOUND = [_squares((0, 1), (6, 6)), _squares((2, 2), (7, 7)), _squares(None, None)]


def test_dice_is_the_mean_over_images_then_over_classes_that_are_there():
    found = _masks(TRUTH, FOUND)
    liver, spleen = (0.75 + 1 + 1) / 3, (1 + 0 + 0) / 3  # empty and empty is 1
    assert _named(found, "dice", "liver")[1] == pytest.approx(liver)
    assert _named(found, "dice", "spleen")[1] == pytest.approx(spleen)
    score, value = _named(found, "dice")
    assert value == pytest.approx((liver + spleen) / 2)
    assert score.absent == ("gland",)
    assert not [each for each in scores.scores(found) if each.class_name == "gland"]


def test_distances_leave_out_and_count_images_without_a_border():
    found = _masks(TRUTH, FOUND)
    liver = [mask_metrics.hausdorff95(TRUTH[i], FOUND[i], 1) for i in (0, 1)]
    score, value = _named(found, "hd95", "liver")
    assert value == pytest.approx(np.mean(liver)) and score.undefined == 1
    score, value = _named(found, "hd95")
    assert score.undefined == 2  # images in which any class has none
    assert value == pytest.approx((np.mean(liver) + 0) / 2)
    no_border = _masks(TRUTH[2:], FOUND[2:])
    assert np.isnan(_named(no_border, "hd95")[1])


def test_one_class_is_told_once():
    found = _masks(TRUTH[:2], FOUND[:2], ("background", "foreground"))
    assert {each.class_name for each in scores.scores(found)} == {None}


def _classes(truth, chances, names=("a", "b", "c")):
    truth = np.array(truth)
    groups, chances = np.arange(len(truth)), np.array(chances)
    return predictions.Classes(names, truth.ndim == 2, groups, truth, chances)


CHANCES = [[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]]


def test_an_absent_class_is_named_and_in_no_mean():
    found = _classes([0, 1, 1, 0], CHANCES)
    score, value = _named(found, "balanced_accuracy")
    assert score.absent == ("c",) and value == pytest.approx(0.5)
    assert _named(found, "recall", "a")[1] == 0.5
    assert not [each for each in scores.scores(found) if each.class_name == "c"]


def test_only_grades_have_a_kappa():
    named = {each.metric for each in scores.scores(_classes([0, 1, 1, 2], CHANCES))}
    assert "kappa" not in named
    graded = _classes([0, 1, 1, 2], CHANCES, ("0", "1", "2"))
    assert _named(graded, "kappa")[1] == pytest.approx(1 - 1 / 4.25, abs=0.06)
    assert "kappa" in scores.followed(stem.Target(("0", "1", "2")), False)
    assert "kappa" not in scores.followed(stem.Target(("a", "b")), False)


def test_several_labels_are_cut_at_a_half():
    truth = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]
    found = _classes(np.array(truth, np.float32), CHANCES)
    prediction = np.array(CHANCES) > 0.5
    score, value = _named(found, "accuracy")
    assert value == pytest.approx((prediction == np.array(truth)).mean())
    assert score.absent == ("c",)
    assert _named(found, "f1", "a")[1] == pytest.approx(2 / 3)
    assert scores.by_image(found)[0] == pytest.approx(0.7)


def test_what_is_followed_is_what_is_measured():
    for found, target, segments in (
        (_classes([0, 1, 1, 2], CHANCES), stem.Target(("a", "b", "c")), False),
        (_masks(TRUTH, FOUND), stem.Target(("background", "liver")), True),
    ):
        assert set(scores.short(found)) == set(scores.followed(target, segments))


def test_images_are_ranked_by_what_they_hold():
    values = scores.by_image(_masks(TRUTH, FOUND))
    np.testing.assert_allclose(values, [(0.75 + 1) / 2, 0.5, 0.0])


def test_intervals_draw_groups_not_images():
    """Ten copies of every image say no more than the images themselves."""
    rng = np.random.default_rng(0)
    values = rng.random(40)
    copies = np.repeat(values, 10)

    def width(of, groups):
        found = intervals.bootstrap([lambda rows: of[rows].mean()], groups, seed=0)
        return found.high - found.low

    alone = width(values, np.arange(40))
    together = width(copies, np.repeat(np.arange(40), 10))
    assert together == pytest.approx(alone)
    assert width(copies, np.arange(400)) < 0.5 * alone
    normal = 2 * 1.96 * values.std() / np.sqrt(40)
    assert alone == pytest.approx(normal, rel=0.15)


def test_a_difference_is_paired():
    rng = np.random.default_rng(0)
    hard = rng.random(60)  # what both find hard
    better, worse = hard + 0.05, hard
    groups = np.arange(60)
    found = intervals.bootstrap(
        [lambda rows: better[rows].mean()],
        groups,
        seed=0,
        baseline=[lambda rows: worse[rows].mean()],
    )
    assert found.value == pytest.approx(0.05)
    assert found.low == pytest.approx(0.05) and found.high == pytest.approx(0.05)


def test_seeds_widen_an_interval():
    groups = np.arange(30)
    metrics = [lambda rows, own=own: own + 0 * rows.mean() for own in (0.2, 0.4, 0.6)]
    found = intervals.bootstrap(metrics, groups, seed=0)
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.3 and found.high > 0.5


def test_undefined_draws_are_left_out_and_undefined_values_stay_so():
    groups = np.arange(4)

    def first_only(rows):
        return 1.0 if 0 in rows else np.nan

    assert intervals.bootstrap([first_only], groups, seed=0) == (1.0, 1.0, 1.0)
    never = intervals.bootstrap([lambda rows: np.nan], groups, seed=0)
    assert np.isnan(never).all()


def test_a_label_that_all_images_have_is_unmeasured_and_told():
    truth = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]], np.float32)
    found = _classes(truth, CHANCES)
    score, value = _named(found, "auc")
    assert (score.absent, score.unmeasured) == (("c",), ("a",))
    assert value == _named(found, "auc", "b")[1]
    assert _named(found, "f1")[0].unmeasured == ()


def test_distances_are_compared_where_both_have_a_border():
    """Who finds nothing in the hard image has no smaller distance."""
    names, empty = ("background", "foreground"), _squares(None)
    truth = [_squares((0, 0)), _squares((2, 2))]
    ours = _masks(truth, [_squares((1, 0)), _squares((6, 6))], names)
    theirs = _masks(truth, [_squares((2, 0)), empty], names)
    pair = [_named(each, "hd95")[0] for each in (ours, theirs)]
    every = np.arange(2)
    assert pair[0].of(every) > pair[1].of(every)
    common = scores.on_common_images(pair)
    assert [each.of(every) for each in common] == [1, 2]
    assert [each.undefined for each in common] == [1, 1]
    areas = [_named(each, "dice")[0] for each in (ours, theirs)]
    for one, same in zip(areas, scores.on_common_images(areas), strict=True):
        assert one.of(every) == same.of(every)
