"""LVM-Med in JAX and Flax: pre-training by second-order graph matching."""

from typing import Any

__version__ = "0.1.0"


def load_encoder(model: str) -> tuple[Any, Any]:
    """A frozen encoder as a pure function and its parameters.

    The function normalises its images as the encoder was trained to see them; it can
    be jitted, vmapped and differentiated.

    >>> import jax, numpy as np
    >>> encode, params = load_encoder("random:resnet8")
    >>> images = np.zeros((2, 64, 64, 3), np.float32)  # RGB in [0, 1], of any size
    >>> feature_maps = jax.jit(encode)(params, images)
    >>> feature_maps.shape, feature_maps.mean(axis=(1, 2)).shape
    ((2, 4, 4, 256), (2, 256))

    Args:
      model: a work folder, one of its checkpoints, an exported file, or `random:NAME`.

    Returns:
      (params, images [B, H, W, 3], stages=()) -> feature maps float32 [B, R, S, D], or
      with stages, numbers of the encoder's, a tuple of their maps; and the parameters.

    Raises:
      FileNotFoundError: there is no such model.
      ValueError: an unknown encoder, or a damaged checkpoint.
    """
    from lvmmed_jax import encoders  # what imports jax waits until it is needed

    encoder = encoders.load(model)
    return encoder.apply, encoder.variables
