import instances
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import synthetic
from lvmmed_jax.matching import perturbation


@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_perturbation_is_gumbel_times_sigma(sigma):
    clean = instances.one(synthetic.make(7, 1, 16, "middle", 0.0), 0)
    noisy = perturbation.perturb(clean, jax.random.key(0), sigma)
    noise = np.concatenate(
        [
            np.ravel(noisy.vertex_affinity - clean.vertex_affinity),
            np.ravel(noisy.edge_affinity - clean.edge_affinity),
        ]
    )
    # mean and standard deviation of Gumbel(0, 1)
    np.testing.assert_allclose(noise.mean(), 0.5772 * sigma, atol=0.06)
    np.testing.assert_allclose(noise.std(), 1.2825 * sigma, atol=0.06)


def test_noise_on_edges_has_its_own_scale_and_spares_padding():
    clean = instances.one(synthetic.make(0, 1, 16, "early"), 0)
    padded = clean._replace(edges_s=clean.edges_s.at[:3].set(0))
    key = jax.random.key(0)
    both, vertices = (
        perturbation.perturb(padded, key, 1.0, edges) for edges in (0.5, 0.0)
    )
    np.testing.assert_array_equal(vertices.edge_affinity, clean.edge_affinity)
    np.testing.assert_array_equal(vertices.vertex_affinity, both.vertex_affinity)
    noise = both.edge_affinity - clean.edge_affinity
    assert not np.any(noise[:3])
    assert jnp.std(noise[3:]) == pytest.approx(0.5 * 1.2825, rel=0.05)


@pytest.mark.lengthy
def test_sum_of_gamma_over_the_chosen_entries_is_gumbel():
    """Mean and variance of the sum of N entries are those of Gumbel(0, 1)."""
    noise = perturbation.sum_of_gamma(jax.random.key(0), (20_000, 4), 4)
    sums = np.asarray(jnp.sum(noise, axis=1))
    # ten terms fall short of the variance by sum over i > 10 of 1 / i^2, 0.095
    np.testing.assert_allclose(sums.mean(), 0.5772, atol=0.06)
    np.testing.assert_allclose(sums.var(), np.pi**2 / 6 - 0.095, atol=0.08)


def test_margin_lowers_the_true_pairs_only():
    clean = instances.one(synthetic.make(1, 1, 6, "late", 0.0), 0)
    found = perturbation.perturb(clean, jax.random.key(0), 0.5, noise="margin")
    change = found.vertex_affinity - clean.vertex_affinity
    np.testing.assert_allclose(change, -0.5 * np.eye(6), atol=1e-6)
    np.testing.assert_array_equal(found.edge_affinity, clean.edge_affinity)


def test_no_noise_changes_nothing():
    clean = instances.one(synthetic.make(1, 1, 6, "late", 0.0), 0)
    found = perturbation.perturb(clean, jax.random.key(0), 0.5, noise="none")
    jax.tree.map(np.testing.assert_array_equal, found, clean)


def test_unknown_noise_names_the_known():
    clean = instances.one(synthetic.make(1, 1, 6, "late", 0.0), 0)
    with pytest.raises(ValueError, match="sum_of_gamma"):
        perturbation.perturb(clean, jax.random.key(0), 1.0, noise="normal")
