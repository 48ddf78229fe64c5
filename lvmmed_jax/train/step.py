"""One jitted, sharded update."""

from collections.abc import Callable

import jax
import optax
from jax.sharding import Mesh

from lvmmed_jax.train import sharding, state, task

StepFn = Callable[
    [state.TrainState, dict[str, jax.Array]], tuple[state.TrainState, task.Metrics]
]


def make_optimizer(
    learning_rate: float, halve_at: tuple[float, ...], num_steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Adam with a learning rate that is halved at the given shares of the run."""
    boundaries = {round(share * num_steps): 0.5 for share in halve_at}
    schedule = optax.piecewise_constant_schedule(learning_rate, boundaries)
    return optax.adam(schedule), schedule


def make_train_step(
    loss_fn: Callable[..., tuple],
    tx: optax.GradientTransformation,
    schedule: optax.Schedule,
    mesh: Mesh,
) -> StepFn:
    """Builds `step(state, batch) -> (state, metrics)`; the old state is donated.

    The batch is cut over the mesh, the state replicated; XLA adds the gradient's
    all-reduce.

    Args:
      loss_fn: see `task.Task`.
      tx: the optimiser.
      schedule: step -> learning rate, to be logged.
      mesh: the devices.
    """

    def step(old: state.TrainState, batch: dict[str, jax.Array]):
        key = jax.random.fold_in(old.key, old.step)
        gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, (model_state, metrics)), gradient = gradient_fn(
            old.params, old.model_state, batch, key
        )
        updates, opt_state = tx.update(gradient, old.opt_state, old.params)
        new = state.TrainState(
            step=old.step + 1,
            params=optax.apply_updates(old.params, updates),
            model_state=model_state,
            opt_state=opt_state,
            key=old.key,
        )
        return new, {
            **metrics,
            "loss": loss,
            "gradient_norm": optax.tree.norm(gradient),
            "learning_rate": schedule(old.step),
        }

    same, cut = sharding.replicated(mesh), sharding.over_batch(mesh)
    return jax.jit(
        step,
        in_shardings=(same, cut),
        out_shardings=(same, same),
        donate_argnums=0,
    )


def make_evaluate(evaluate: Callable[..., task.Metrics]) -> Callable[..., task.Metrics]:
    """Builds the jitted (params, model_state, batch, key) -> metrics of a method.

    Adds `parameter_norm`, the L2 norm of all parameters.
    """

    def measure(params, model_state, batch, key):
        found = evaluate(params, model_state, batch, key)
        return {**found, "parameter_norm": optax.tree.norm(params)}

    return jax.jit(measure)
