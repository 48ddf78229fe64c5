"""A task of a few numbers that has all that a method may carry."""

import jax
import jax.numpy as jnp
import numpy as np

from lvmmed_jax.train import task

WIDTH, QUEUE = 5, 8


def make_task():
    """Linear regression on labels, with a queue of features and an averaged teacher."""

    def init(key):
        params = {"w": jax.random.normal(key, (WIDTH,)), "b": jnp.zeros(())}
        model_state = {
            "queue": jnp.zeros((QUEUE, WIDTH)),
            "pointer": jnp.zeros((), jnp.int32),
            "teacher": params,
        }
        return params, model_state

    def loss_fn(params, model_state, batch, key):
        del key
        found = batch["image"] @ params["w"] + params["b"]
        loss = jnp.mean(jnp.square(found - batch["label"]))
        newest = jnp.mean(batch["image"], axis=0)
        pointer = model_state["pointer"]
        model_state = {
            "queue": model_state["queue"].at[pointer].set(newest),
            "pointer": (pointer + 1) % QUEUE,
            "teacher": jax.tree.map(
                lambda old, new: 0.9 * old + 0.1 * jax.lax.stop_gradient(new),
                model_state["teacher"],
                params,
            ),
        }
        return loss, (model_state, {"accuracy": jnp.mean(found > 0)})

    def evaluate(params, model_state, batch, key):
        loss, (_, metrics) = loss_fn(params, model_state, batch, key)
        return {"loss_no_noise": loss, "matching_accuracy": metrics["accuracy"]}

    return task.Task(init, loss_fn, evaluate)


def batch(number, count=32, broken=False):
    """Host batch `number`; a broken one has an infinite value."""
    generator = np.random.default_rng(number)
    images = generator.normal(size=(count, WIDTH)).astype(np.float32)
    labels = images.sum(axis=1) + 0.3
    if broken:
        images[3, 2] = np.inf
    indices = np.arange(count * number, count * (number + 1))
    return {"image": images, "label": labels, "index": indices}
