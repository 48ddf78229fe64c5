"""Models: the only place that imports flax."""
