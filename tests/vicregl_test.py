import jax.numpy as jnp
import numpy as np
import pytest
import vicreg_test

from lvmmed_jax import method_config
from lvmmed_jax.methods import vicregl

GENERATOR = np.random.default_rng(0)
WEIGHTS = method_config.VICReg()


def _view(num_cells, count, batch=6):
    cells = GENERATOR.normal(size=(batch, num_cells, 4)).astype(np.float32)
    places = GENERATOR.uniform(0, 40, (batch, num_cells, 2)).astype(np.float32)
    return jnp.asarray(cells), jnp.asarray(places), count


VIEWS = [_view(9, 5), _view(9, 5), _view(4, 3)]


def _pairs(points, others, count):
    """The pairs (i, nearest other), the best few, in the order of i."""
    found = []
    for i, point in enumerate(points):
        apart = [np.linalg.norm(point - other) for other in others]
        found.append((min(apart), i, int(np.argmin(apart))))
    return sorted((i, j) for _, i, j in sorted(found)[:count])


def _of_matches(cells, others, matched):
    """VICReg a place in the lists at a time, the mean over places."""
    total = 0.0
    for place in range(len(matched[0])):
        a = np.stack([cells[b][matched[b][place][0]] for b in range(len(cells))])
        b = np.stack([others[b][matched[b][place][1]] for b in range(len(cells))])
        total += 25 * np.mean((a - b) ** 2)
        total += 25 * (vicreg_test._variance(a) + vicreg_test._variance(b)) / 2
        total += (vicreg_test._covariance(a) + vicreg_test._covariance(b)) / 2
    return total / len(matched[0])


def _one_way(asking, asked):
    cells, places, count = (np.asarray(x, float) for x in asking)
    others, other_places, _ = (np.asarray(x, float) for x in asked)
    images = range(len(cells))
    by_place = [_pairs(places[b], other_places[b], int(count)) for b in images]
    by_embedding = [_pairs(cells[b], others[b], len(cells[b])) for b in images]
    return sum(_of_matches(cells, others, each) for each in (by_place, by_embedding))


@pytest.mark.lengthy
def test_local_loss_is_that_of_the_paper_written_out():
    a, b, c = VIEWS
    each = [(_one_way(x, y) + _one_way(y, x)) / 2 for x, y in ((a, b), (a, c), (b, c))]
    expected = (2 * each[0] + each[1] + each[2]) / 4
    found = vicregl.local_loss(VIEWS, WEIGHTS)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_matches_by_place_stay_the_same_where_a_view_is_flipped():
    """Cells in another order, with their places: the same pairs of cells."""
    places, others = np.asarray(VIEWS[0][1][0]), np.asarray(VIEWS[1][1][0])
    grid = np.arange(9).reshape(3, 3)
    flipped = grid[:, ::-1].reshape(-1)
    rows, columns = vicregl.nearest(jnp.asarray(places), jnp.asarray(others), 5)
    turned_rows, turned_columns = vicregl.nearest(
        jnp.asarray(places[flipped]), jnp.asarray(others[flipped]), 5
    )
    expected = set(zip(rows.tolist(), columns.tolist(), strict=True))
    found = set(
        zip(
            flipped[turned_rows].tolist(), flipped[turned_columns].tolist(), strict=True
        )
    )
    assert found == expected


def test_cells_that_show_the_same_place_are_matched():
    places = np.arange(18, dtype=np.float32).reshape(9, 2) ** 2
    order = np.array([4, 2, 8, 0, 1, 3, 7, 6, 5])
    rows, columns = vicregl.nearest(jnp.asarray(places), jnp.asarray(places[order]), 9)
    np.testing.assert_array_equal(rows, np.arange(9))
    np.testing.assert_array_equal(order[columns], np.arange(9))
