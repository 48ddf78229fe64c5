"""`pretrain --replay`: repeats a step that was skipped because it was not finite."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from data_pipelines import mixture
from lvmmed_jax import planning
from lvmmed_jax.train import checkpoint, sharding, state, step, task


def replay(
    plan: planning.Plan,
    path: pathlib.Path,
    data: pathlib.Path,
    check: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Repeats the step, with the images, parameters and key that it had.

    Args:
      plan: of the run.
      path: what the run saved, `workdir/skipped/STEP`.
      data: the run's shards.
      check: see `checkpoint.restore`.

    Returns:
      JSON values: `step`; `records`, the indices of its images; its `loss` and
      `gradient_norm`, and what they were `then`, as text; `equal`, whether they are the
      same; `not_finite`, the parameters whose gradient is not finite.

    Raises:
      ValueError: the folder is damaged, or the data gives other images.
    """
    if jax.process_count() > 1:
        raise ValueError("--replay takes one process: the numbers are the same")
    config, parts = plan.config, plan.config.optimizer.accumulate
    saved, extra = checkpoint.restore(path, plan.abstract, check)
    number = extra["next_batch"]
    batch = mixture.host_batch(
        data,
        global_batch=config.data.global_batch,
        seed=config.train.seed,
        number=number,
        share=mixture.Share(parts),
        mix=planning.mix(config),
    )
    if batch["index"].tolist() != extra["records"]:
        raise ValueError(f"{data} gives other images for step {number} than {path} had")
    placed = sharding.put_parts(batch, plan.mesh, parts)
    not_finite = jax.device_get(_find(plan.method, saved, placed))
    leaves = jax.tree_util.tree_flatten_with_path(not_finite)[0]
    _, metrics = plan.step_fn(saved, placed)
    found = {name: repr(float(metrics[name])) for name in extra["found"]}
    return {
        "step": number,
        "records": extra["records"],
        **found,
        "then": extra["found"],
        "equal": found == extra["found"],
        "not_finite": [
            jax.tree_util.keystr(where, simple=True, separator="/")
            for where, wrong in leaves
            if wrong
        ],
    }


def _find(method: task.Task, saved: state.TrainState, placed: Any) -> Any:
    """Whether the gradient of each parameter has a value that is not finite."""

    @jax.jit
    def find(old, batch):
        key = jax.random.fold_in(old.key, old.step)
        *_, gradient = step.accumulate(
            method.loss_fn, old.params, old.model_state, batch, key
        )
        return jax.tree.map(lambda x: ~jnp.all(jnp.isfinite(x)), gradient)

    return find(saved, placed)
