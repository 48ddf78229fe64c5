"""Whether the PyTorch twin computes what our training step computes.

Both start from the same weights. Views, noise and solutions come from ours.

**Gradients** are those of one step in float64. In float32 they differ by about one per
cent of a parameter's largest entry, and so do PyTorch's own from those in float64
(`float32_error`): a rounding error decides on which side of its kink a ReLU is. The
error is the largest difference in a parameter over its largest gradient, and of those
of all parameters the largest.

**Losses** are compared over Adam steps in float32, each side on its own weights and
gradients. The Hamming loss counts wrong pairs of the solution, which is passed in:
equal by construction. What is compared is the surplus: how much the solution is worth
more than the target, the smooth value of which the rule has the gradient. Ours also
hands over the graphs: a near tie of two neighbours would give an edge another edge's
noise. The learning rate is small because Adam's first steps are about the sign of each
gradient, whatever its size: at 1e-3 a sign that rounding turns moves a weight by some
per cent of its size, and the trajectories leave each other, whatever computes them.
"""

from typing import NamedTuple

import torch

from benchmarks import torch_given, torch_params, torch_twin

LEARNING_RATE = 1e-5


class FirstStep(NamedTuple):
    """Differences in one step in float64, and what float32 does to them."""

    loss_error: float  # Hamming loss of our step, and the twin's on the solution given
    surplus_error: float  # relative
    gradient_error: float
    same_edges: bool  # whether the twin's k-NN graphs are ours
    float32_error: float  # of the twin's gradient in float32 from its own in float64


def first_step(ours: torch_given.Ours) -> FirstStep:
    """Compares loss and gradients of the next step on the same weights."""
    given, surplus, loss, gradient = ours.give_double()
    expected = torch_params.state_dict(gradient, ours.config.model.encoder)
    edges, given = given[-2:], given._replace(edges_s=None, edges_t=None)
    theirs, their_surplus, found, their_edges = _gradient(ours, given, torch.float64)
    *_, rounded, _ = _gradient(ours, given, torch.float32)
    return FirstStep(
        abs(theirs - loss),
        abs(their_surplus - surplus) / max(1.0, abs(surplus)),
        largest_error(found, expected),
        all(torch.equal(*each) for each in zip(edges, their_edges, strict=True)),
        largest_error(rounded, found),
    )


def over_steps(ours: torch_given.Ours, num_steps: int) -> list[float]:
    """Relative differences of the surplus before each Adam step and after the last.

    Args:
      ours: with a learning rate of `LEARNING_RATE`.
      num_steps: of both.
    """
    twin = make_twin(ours)
    adam = torch.optim.Adam(twin.parameters(), lr=LEARNING_RATE)
    errors = []
    for number in range(num_steps + 1):
        given, surplus = ours.give()
        loss, theirs = twin(given)
        errors.append(abs(float(theirs) - surplus) / max(1.0, abs(surplus)))
        if number < num_steps:
            adam.zero_grad()
            loss.backward()
            adam.step()
            ours.step()
    return errors


def largest_error(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]
) -> float:
    """Over parameters: the largest difference over the largest expected size."""
    return max(
        float((found[name] - each).abs().max() / each.abs().max())
        for name, each in expected.items()
    )


def make_twin(ours: torch_given.Ours) -> torch_twin.Twin:
    """A twin with the present weights of ours."""
    twin = torch_twin.Twin(ours.config)
    torch_params.load(twin, ours.state.params, ours.config.model.encoder)
    return twin


def _gradient(ours: torch_given.Ours, given: torch_twin.Given, dtype: torch.dtype):
    """A fresh twin's loss, surplus, gradients by name, and its graphs' edges."""
    twin = make_twin(ours).to(dtype)
    given = torch_twin.Given(*(x if x is None else x.to(dtype) for x in given))
    loss, surplus = twin(given)
    loss.backward()
    gradient = {name: each.grad for name, each in twin.named_parameters()}
    with torch.no_grad():
        edges = twin.problem(given.images, given.locations)[-2:]
    return float(loss.detach()), float(surplus), gradient, edges
