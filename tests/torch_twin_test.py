"""The PyTorch twin is the same training step; skipped where there is no PyTorch."""

import jax
import numpy as np
import pytest
import tiny_runs

from lvmmed_jax import config as configs
from lvmmed_jax.models import resnet

torch = pytest.importorskip("torch")

from benchmarks import (  # noqa: E402
    step,
    torch_agreement,
    torch_given,
    torch_matching,
    torch_model,
    torch_params,
)

SMALL = configs.override(
    tiny_runs.CONFIG, {"data.global_batch": 8, "model.projection_hidden": 8}
)


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on cores that other tests use would wait for each other."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


def test_loss_and_gradients_are_ours():
    ours = torch_given.Ours(SMALL, step._images(SMALL), torch_agreement.LEARNING_RATE)
    first = torch_agreement.first_step(ours)
    assert first.same_edges
    assert first.loss_error < 1e-6
    assert first.surplus_error < 1e-4
    assert first.gradient_error < 1e-4


@pytest.mark.slow
def test_losses_track():
    ours = torch_given.Ours(SMALL, step._images(SMALL), torch_agreement.LEARNING_RATE)
    assert max(torch_agreement.over_steps(ours, 3)) < 1e-3


@pytest.mark.parametrize("variant", ["resnet18", "resnet50"])
def test_weights_keep_the_encoders_outputs(variant):
    """In evaluation, so that the running statistics count too."""
    encoder = resnet.ResNet(variant, width=4)
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    variables = jax.jit(encoder.init, static_argnames="train")(
        jax.random.key(0), images, train=False
    )
    generator = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda x: x + 0.1 * generator.uniform(size=x.shape).astype(x.dtype), variables
    )
    expected = jax.jit(encoder.apply, static_argnames="train")(
        variables, images, train=False
    )
    twin = torch_model.ResNet(variant, width=4).eval()
    weights = {
        name.removeprefix("encoder."): array
        for collection in ("params", "batch_stats")
        for name, array in torch_params.state_dict(
            {"encoder": variables[collection]}, variant
        ).items()
    }
    missing, unexpected = twin.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    with torch.no_grad():
        found = twin(torch.tensor(images).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_names_that_do_not_fit_are_refused():
    ours = torch_given.Ours(SMALL, step._images(SMALL), 1e-3)
    twin = torch_agreement.make_twin(ours)
    params = {**ours.state.params, "message_passing": {}}
    with pytest.raises(ValueError, match=r"message_passing\.layers\.0"):
        torch_params.load(twin, params, "resnet8")


def test_rule_is_that_of_equation_6():
    """Any cotangents of both outputs, in NumPy; one graph's are zero."""
    generator = np.random.default_rng(0)
    matching, second = np.eye(4)[[1, 0, 2, 3]], np.eye(4)
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 0]])
    cotangents = [generator.normal(size=(2, 4, 4)) for _ in range(2)]
    for each in cotangents:
        each[1] = 0

    def indicators(v):
        heads, tails = (v[edges[:, end]][:, edges[:, end]] for end in (0, 1))
        return heads * tails

    step_size = max(np.abs(each).max() for each in cotangents) / 80.0
    leaves = [
        torch.zeros(2, 4, 4, dtype=torch.float64, requires_grad=True) for _ in "ve"
    ]
    given = [torch.tensor(np.stack([x] * 2)) for x in (edges, edges, matching, second)]
    found = torch_matching.Match.apply(*leaves, *given, 80.0)
    np.testing.assert_array_equal(found[0][0].detach(), matching)
    np.testing.assert_array_equal(found[1][0].detach(), indicators(matching))
    torch.autograd.backward(found, [torch.tensor(each) for each in cotangents])
    expected = matching - second, indicators(matching) - indicators(second)
    for leaf, each in zip(leaves, expected, strict=True):
        np.testing.assert_allclose(leaf.grad[0], step_size * each)
        assert not leaf.grad[1].any()
