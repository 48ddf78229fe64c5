"""LVM-Med in JAX and Flax: pre-training by second-order graph matching."""

__version__ = "0.1.0"
