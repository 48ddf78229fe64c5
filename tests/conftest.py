"""Eight CPU devices, strict ranks and checked shapes, for every test."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import jax
import jaxtyping

jax.config.update("jax_numpy_rank_promotion", "raise")
# the shapes in the signatures of the mathematics are checked in every test
jaxtyping.install_import_hook(
    ["lvmmed_jax.matching", "lvmmed_jax.views"], "beartype.beartype"
)
