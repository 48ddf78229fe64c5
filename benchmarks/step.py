"""How long a training step takes, and how much of it is the matching.

    python benchmarks/step.py                       the paper's ResNet-50, 224 pixels
    python benchmarks/step.py --quick               ResNet-18, 96 pixels
    python benchmarks/step.py --config shared_corpus

Three programs take turns: the whole step; the same step with a plain loss on the
embeddings instead of the matching; and the matching part alone (graphs, message
passing, affinities, noise, search, proof, loss, their gradient). Medians over rounds.
"""

import argparse
import functools
import importlib.metadata
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks import turns
from lvmmed_jax import config as configs
from lvmmed_jax import config_files
from lvmmed_jax.methods import graph_matching, two_views
from lvmmed_jax.train import optimizer, sharding, state, step

_DEFAULT = "lvmmed_resnet50"
_QUICK = {"model.encoder": "resnet18", "views.size": 96}


def main(argv: list[str] | None = None) -> None:
    """Measures, prints a table, and with --json one object on the last line."""
    options = _parse(argv)
    rounds = 3 if options.quick else 7
    small = _QUICK if options.quick and options.config == _DEFAULT else {}
    config = config_files.load(options.config, small)
    batch = options.batch or (16 if config.views.size > 64 else 64)
    settings = {"data.global_batch": batch, "train.num_evaluation_images": batch}
    if jax.default_backend() == "cpu":
        settings["model.dtype"] = "float32"  # a CPU only emulates bfloat16
    config = configs.override(config, settings)
    found = measure(config, rounds)
    found["network"] = (
        f"{config.model.encoder}, width {config.model.width}, {config.model.dtype}"
    )
    print(f"{found['network']}, {config.views.size} px, {batch} images a step")
    for name in ("step", "encoder_only", "matching"):
        print(f"  {name:<13} {found[f'{name}_seconds'] * 1e3:9.1f} ms")
    print(f"  the matching's share of a step: {found['matching_share']:.1%}")
    if options.json:
        print(json.dumps(found))


def measure(config: configs.Config, rounds: int) -> dict:
    """Median seconds of the three programs, timed in turns."""
    mesh = sharding.make_mesh()
    sharding.check_batch(
        "--batch", config.data.global_batch, config.matching.graph_size, mesh.size
    )
    median = turns.medians(_programs(config, mesh), rounds)
    return {
        "step_seconds": median["whole"],
        "encoder_only_seconds": median["encoder"],
        "matching_seconds": median["matching"],
        "matching_share": median["matching"] / median["whole"],
        "batch": config.data.global_batch,
        "view_size": config.views.size,
        "graph_size": config.matching.graph_size,
        "rounds": rounds,
        "devices": f"{mesh.size} x {jax.devices()[0].device_kind}",
        "jax": importlib.metadata.version("jax"),
    }


def _programs(config, mesh) -> dict:
    """Functions without arguments; a step keeps its state between calls."""
    schedule = optimizer.make_schedule("constant", peak=1e-3, num_steps=1000)
    tx = optimizer.make_optimizer("adam", schedule)
    method = graph_matching.make_task(config, mesh)
    networks = two_views.make_networks(config.model)
    batch = sharding.put_batch(_images(config), mesh)
    parts = sharding.put_parts(_images(config), mesh, 1)
    key = jax.random.key(0)
    forward = functools.partial(two_views.forward, networks, config)

    def plain_loss(params, model_state, batch, key):
        pair, model_state = forward(params, model_state, batch, key)
        return jnp.mean(jnp.square(pair.embedding)), (model_state, {})

    def stepper(loss_fn):
        run = step.make_train_step(loss_fn, tx, schedule, mesh)
        now = [state.create(method.init, tx, key, mesh)]

        def program():
            now[0], metrics = run(now[0], parts)
            return metrics

        return program

    first = state.create(method.init, tx, key, mesh)
    pair, _ = jax.jit(forward)(first.params, first.model_state, batch, key)
    loss_of = graph_matching.make_loss(config, mesh)

    # all of it is an argument: a constant could be computed when it is compiled
    def matching(trained, params, pair, key):
        layers, embedding, feature_map = trained
        pair = pair._replace(embedding=embedding, feature_map=feature_map)
        loss, _ = loss_of({**params, "message_passing": layers}, pair, key)
        return loss

    gradient = jax.jit(jax.value_and_grad(matching))
    trained = first.params["message_passing"], pair.embedding, pair.feature_map
    return {
        "whole": stepper(method.loss_fn),
        "encoder": stepper(plain_loss),
        "matching": lambda: gradient(trained, first.params, pair, key),
    }


def _images(config) -> dict:
    size, count = config.views.size * 9 // 8, config.data.global_batch
    pixels = np.random.default_rng(0).integers(0, 255, (count, size, size, 1))
    return {
        "image": pixels.astype(np.uint8),
        "size": np.full((count, 2), size, np.int32),
    }


def _parse(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=_DEFAULT, help="name or file")
    parser.add_argument("--batch", type=int, help="images; default 16, 64 when small")
    parser.add_argument(
        "--quick", action="store_true", help="3 rounds; small by default"
    )
    parser.add_argument("--json", action="store_true", help="one object, last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
