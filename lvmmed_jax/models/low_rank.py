"""LoRA (Hu et al. 2022): what attention's kernels learn is a product of low rank.

A kernel W [D, D'] becomes W + A B, A [D, r], B [r, D'], and only A and B are trained. B
begins at 0, so that the first output is the base's. The paper's factor alpha / r is 1.
"""

from typing import Any

import jax
import jax.numpy as jnp

LAYERS = ("qkv", "projection")  # of attention; the paper adapts W_q and W_v


def init(key: jax.Array, encoder: dict[str, Any], rank: int) -> dict[str, Any]:
    """The additions to an encoder's parameters, {block: {layer: {"down", "up"}}}.

    Args:
      key: of A, normal with a variance of 1 / D.
      encoder: a vision transformer's parameters.
      rank: r.

    Raises:
      ValueError: an encoder without attention.
    """
    blocks = [
        name
        for name, part in encoder.items()
        if isinstance(part, dict) and "attention" in part
    ]
    if not blocks:
        raise ValueError(
            "model.lora_rank needs a vision transformer: 0 switches it off"
        )
    additions = {}
    for number, block in enumerate(sorted(blocks)):
        keys = jax.random.split(jax.random.fold_in(key, number), len(LAYERS))
        additions[block] = {}
        for layer, layer_key in zip(LAYERS, keys, strict=True):
            num_in, num_out = encoder[block]["attention"][layer]["kernel"].shape
            down = jax.random.normal(layer_key, (num_in, rank)) * num_in**-0.5
            additions[block][layer] = {"down": down, "up": jnp.zeros((rank, num_out))}
    return additions


def merge(encoder: dict[str, Any], additions: dict[str, Any]) -> dict[str, Any]:
    """The encoder with its additions added: parameters of a plain one."""
    merged = dict(encoder)
    for block, of_block in additions.items():
        attention = dict(encoder[block]["attention"])
        for layer, factors in of_block.items():
            product = jnp.matmul(
                factors["down"], factors["up"], precision=jax.lax.Precision.HIGHEST
            )
            kernel = attention[layer]["kernel"] + product
            attention[layer] = {**attention[layer], "kernel": kernel}
        merged[block] = {**encoder[block], "attention": attention}
    return merged
