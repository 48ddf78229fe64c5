"""The mathematics of second-order graph matching, in pure JAX."""
