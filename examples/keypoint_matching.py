"""Learns to match noisy point sets, with nothing of the package but the matching layer.

    python examples/keypoint_matching.py

Twelve keypoints with a colour each; then the same mirrored, moved a little and coloured
anew. A small network sees a point's colour and its distances to the others, and has to
learn what to look at: the gradient of the wrong matches reaches it through the solver.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

sys.path.insert(0, str(Path(__file__).parents[1]))

from lvmmed_jax.matching import affinity, graphs, imle, perturbation, problem, solver

POINTS, BATCH, JITTER, WIDTH = 12, 32, 0.02, 64
SOLVE = solver.Solver()
TRUE = jnp.tile(jnp.eye(POINTS), (BATCH, 1, 1))  # point i belongs to point i


def point_sets(key):
    """Two views of B point sets: place and colour of each point, [2, B, N, 2 + 3]."""
    keys = jax.random.split(key, 3)
    places = jax.random.uniform(keys[0], (BATCH, POINTS, 2))
    moved = places[..., ::-1] + JITTER * jax.random.normal(keys[1], places.shape)
    colours = jax.random.uniform(keys[2], (2, BATCH, POINTS, 3))
    return jnp.concatenate([jnp.stack([places, moved]), colours], axis=-1)


def describe(weights, points):
    """[N, 5] -> [N, F]: colour and a histogram of distances, through two layers."""
    places, colours = points[:, :2], 10 * (points[:, 2:] - 0.5)
    distances = jnp.linalg.norm(places[:, None] - places + 1e-6, axis=-1)
    bins = jnp.exp(-(((distances[..., None] - jnp.linspace(0, 1.4, 16)) / 0.1) ** 2))
    seen = jnp.concatenate([jnp.sum(bins, axis=1), colours], axis=-1)
    return jax.nn.relu(seen @ weights["in"]) @ weights["out"]


def matching_problem(weights, left, right):
    """Affinities of two point sets; edges run to the 4 nearest neighbours."""
    sides = [
        graphs.knn_graph(points[:, :2], 4)._replace(nodes=describe(weights, points))
        for points in (left, right)
    ]
    vertex = affinity.cosine(sides[0].nodes, sides[1].nodes)
    edge = affinity.edge_affinity(*sides)
    return problem.MatchingProblem(vertex, edge, *map(graphs.edges, sides))


def loss_fn(weights, key):
    """Wrong entries of the matchings under Gumbel noise; differentiable."""
    clean = jax.vmap(matching_problem, (None, 0, 0))(weights, *point_sets(key))
    noisy = jax.vmap(lambda one, key: perturbation.perturb(one, key, sigma=0.1))(
        clean, jax.random.split(jax.random.fold_in(key, 1), BATCH)
    )
    matching, _ = imle.match(SOLVE, noisy, interpolation=80.0)
    return jnp.mean(imle.hamming_loss(matching, TRUE))


@jax.jit
def test(weights):
    """Point sets that were not trained on, their matchings, the share that is right."""
    both = point_sets(jax.random.key(-1))
    problems = jax.vmap(matching_problem, (None, 0, 0))(weights, *both)
    matching = SOLVE(problems).matching
    return both, matching, jnp.sum(matching * TRUE) / (BATCH * POINTS)


def train(num_steps):
    """The weights before and after training."""
    keys = jax.random.split(jax.random.key(0), num_steps + 2)
    he = jax.nn.initializers.he_normal()
    weights = {"in": he(keys[0], (19, WIDTH)), "out": he(keys[1], (WIDTH, WIDTH))}
    tx = optax.adam(3e-3)

    @jax.jit
    def step(carry, key):
        weights, state = carry
        loss, gradient = jax.value_and_grad(loss_fn)(weights, key)
        updates, state = tx.update(gradient, state)
        return (optax.apply_updates(weights, updates), state), loss

    carry = first = weights, tx.init(weights)
    for index, key in enumerate(keys[2:]):
        carry, loss = step(carry, key)
        if index % 50 == 0:
            print(f"step {index:>3}  loss {loss:5.1f}  right {test(carry[0])[2]:.0%}")
    return first[0], carry[0]


def draw(path, named):
    """The first point sets of the test: right matches green, wrong ones red."""
    _, axes = plt.subplots(1, len(named), figsize=(11, 4))
    for axis, (name, weights) in zip(axes, named.items(), strict=True):
        (left, right), matching, share = test(weights)
        sides = left[0], right[0].at[:, 0].add(1.5)
        for side in sides:
            axis.scatter(side[:, 0], side[:, 1], c=side[:, 2:], s=60, zorder=2)
        for i, a in enumerate(jnp.argmax(matching[0], axis=1).tolist()):
            ends = jnp.stack([sides[0][i, :2], sides[1][a, :2]])
            axis.plot(*ends.T, color="tab:green" if i == a else "tab:red", lw=1)
        axis.set(title=f"{name}: {share:.0%} of all points right", aspect="equal")
        axis.axis("off")
    plt.savefig(path, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    before, after = train(num_steps=301)
    draw("keypoint_matching.png", {"before training": before, "after": after})
