"""Heads of classifiers: feature maps to scores of classes, grades among them."""

import flax.linen as nn
import jax
import jax.numpy as jnp

_HIGHEST = jax.lax.Precision.HIGHEST  # small, and compared over devices


class Classifier(nn.Module):
    """The mean over the cells, fully connected layers with ReLU, and a last one.

    The paper's are (), (512, 256) and (512, 128) (appendix B).

    Attributes:
      num_classes: K.
      hidden: widths of the layers before the last.
      ordinal: the classes are grades: one score moves an image along them all, between
        thresholds that rise (proportional odds, McCullagh 1980).
    """

    num_classes: int
    hidden: tuple[int, ...] = ()
    ordinal: bool = False

    @nn.compact
    def __call__(self, feature_map: jax.Array) -> jax.Array:
        """[B, R, S, D] -> [B, K]: logits; of grades log-probabilities."""
        x = jnp.mean(feature_map, axis=(1, 2))
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, precision=_HIGHEST)(x))
        if not self.ordinal:
            return nn.Dense(self.num_classes, precision=_HIGHEST)(x)
        score = nn.Dense(1, use_bias=False, precision=_HIGHEST)(x)
        first = self.param("first_threshold", nn.initializers.constant(-1.0), (1,))
        gaps = self.param("gaps", nn.initializers.zeros, (self.num_classes - 2,))
        return grade_log_probabilities(score, thresholds(first, gaps))


def thresholds(first: jax.Array, gaps: jax.Array) -> jax.Array:
    """[K - 1] rising numbers: the first, and softplus of each gap [K - 2] on top."""
    return jnp.concatenate([first, first + jnp.cumsum(nn.softplus(gaps))])


def grade_log_probabilities(score: jax.Array, limits: jax.Array) -> jax.Array:
    """[B, K] of P(grade k) = sigmoid(t_k - s) - sigmoid(t_(k-1) - s).

    With a = t_k - s and b = t_(k-1) - s this is sigmoid(a) sigmoid(-b) (1 - e^(b - a)),
    whose logarithm loses no digits.

    Args:
      score: s, [B, 1].
      limits: t_0 to t_(K-2), rising; t_(-1) is minus infinity, t_(K-1) infinity.
    """
    below = nn.log_sigmoid(limits[None] - score)  # B K-1, log P(grade <= k)
    above = nn.log_sigmoid(score - limits[None])  # log P(grade > k)
    step = jnp.log(-jnp.expm1(limits[:-1] - limits[1:]))  # K-2
    between = below[:, 1:] + above[:, :-1] + step[None]
    return jnp.concatenate([below[:, :1], between, above[:, -1:]], axis=1)
