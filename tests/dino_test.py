import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.methods import dino

GENERATOR = np.random.default_rng(0)
SCORES = GENERATOR.uniform(-1, 1, (6, 4, 5)).astype(np.float32)
TARGETS = GENERATOR.uniform(-1, 1, (6, 2, 5)).astype(np.float32)
CENTRE = GENERATOR.uniform(-1, 1, 5).astype(np.float32)


def _softmax(x):
    x = np.exp(x.astype(float))
    return x / x.sum()


def _found(scores=SCORES, targets=TARGETS, centre=CENTRE):
    return dino.distillation(*map(jnp.asarray, (scores, targets, centre)), 0.1, 0.04)


def test_loss_is_that_of_the_paper_written_out():
    terms = []
    for scores, targets in zip(SCORES, TARGETS, strict=True):
        for t, target in enumerate(targets):
            for v, score in enumerate(scores):
                if t != v:
                    p = _softmax((target - CENTRE) / 0.04)
                    terms.append(-np.sum(p * np.log(_softmax(score / 0.1))))
    assert len(terms) == 6 * 6
    np.testing.assert_allclose(_found()[0], np.mean(terms), rtol=1e-4)


def test_a_centre_that_moves_along_with_the_teacher_changes_nothing():
    for shift in (3.0, GENERATOR.uniform(-1, 1, 5).astype(np.float32)):
        found = _found(targets=TARGETS + shift, centre=CENTRE + shift)
        np.testing.assert_allclose(found[0], _found()[0], rtol=1e-4)
    # a constant on all scores of the student does not count either
    np.testing.assert_allclose(_found(SCORES + 2)[0], _found()[0], rtol=1e-4)
    order = np.array([2, 0, 4, 1, 3])
    found = _found(SCORES[..., order], TARGETS[..., order], CENTRE[order])
    np.testing.assert_allclose(found[0], _found()[0], rtol=1e-5)


def test_entropy_is_zero_where_the_teacher_is_sure_and_log_k_where_it_is_not():
    alike = np.broadcast_to(CENTRE, TARGETS.shape)
    np.testing.assert_allclose(_found(targets=alike)[1], np.log(5), rtol=1e-5)
    sure = 50 * np.eye(5, dtype=np.float32)[np.ones((6, 2), int)]
    assert _found(targets=sure)[1] < 1e-5


def test_gradient_is_the_students():
    gradient = jax.grad(lambda x: _found(scores=x)[0])(jnp.asarray(SCORES[:, :2]))
    teacher = np.stack([[_softmax((t - CENTRE) / 0.04) for t in b] for b in TARGETS])
    student = np.stack([[_softmax(s / 0.1) for s in b[:2]] for b in SCORES])
    expected = (student - teacher[:, ::-1]) / 0.1 / 6 / 2
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)
