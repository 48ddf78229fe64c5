import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.methods import spherical_kmeans

GENERATOR = np.random.default_rng(0)
AXES = np.linalg.qr(GENERATOR.normal(size=(6, 6)))[0][:4]
TRUE = np.arange(40) % 4


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


POINTS = _unit(AXES[TRUE] + 0.1 * GENERATOR.normal(size=(40, 6))).astype(np.float32)


def _fit(points, exists, count, seed=0, iterations=10):
    return spherical_kmeans.fit(
        jnp.asarray(points),
        jnp.asarray(exists),
        count,
        iterations,
        jax.random.key(seed),
    )


def test_clusters_that_lie_apart_are_found():
    """More centroids than clusters, so that no start can miss one."""
    found = _fit(POINTS, np.ones(40, bool), 12)
    for number in range(12):
        assert len(set(TRUE[np.asarray(found.assigned) == number])) <= 1
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, rtol=1e-5)


def test_ends_where_each_centroid_is_the_mean_of_its_points():
    found = _fit(POINTS, np.ones(40, bool), 5, iterations=50)
    assigned = np.asarray(found.assigned)
    np.testing.assert_array_equal(
        assigned, np.argmax(POINTS @ np.asarray(found.centroids).T, axis=1)
    )
    for number in set(assigned.tolist()):
        mean = _unit(POINTS[assigned == number].sum(axis=0))
        np.testing.assert_allclose(found.centroids[number], mean, atol=1e-5)


def test_places_without_a_point_do_not_count():
    padded = np.concatenate([POINTS[:10], np.full((30, 6), 9, np.float32)])
    exists = np.arange(40) < 10
    found = _fit(padded, exists, 4)
    alone = POINTS[:10] @ np.asarray(found.centroids).T
    np.testing.assert_allclose(np.linalg.norm(found.centroids, axis=1), 1, rtol=1e-5)
    assert alone.max(axis=1).min() > 0.5


def test_more_centroids_than_points_are_the_points():
    found = _fit(POINTS[:3], np.ones(3, bool), 7)
    near = np.asarray(found.centroids) @ POINTS[:3].T
    np.testing.assert_allclose(near.max(axis=1), 1, rtol=1e-5)


def test_points_in_chunks_are_the_same(monkeypatch):
    expected = spherical_kmeans.nearest(jnp.asarray(POINTS), jnp.asarray(AXES[:3]))
    monkeypatch.setattr(spherical_kmeans, "_CHUNK", 7)
    found = spherical_kmeans.nearest(jnp.asarray(POINTS), jnp.asarray(AXES[:3]))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, np.argmax(POINTS @ AXES[:3].T, axis=1))
