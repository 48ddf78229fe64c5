import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lvmmed_jax.models import resnet


@pytest.mark.parametrize(
    ("variant", "parameters", "shape"),
    [
        # torchvision's counts, less the classifier
        ("resnet18", 11_689_512 - 513_000, (2, 7, 7, 512)),
        ("resnet50", 25_557_032 - 2_049_000, (2, 7, 7, 2048)),
    ],
)
def test_sizes_are_those_of_the_paper(variant, parameters, shape):
    network = resnet.ResNet(variant, 64)
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
    variables = jax.eval_shape(
        lambda x: network.init(jax.random.key(0), x, train=False), images
    )
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == parameters
    features = jax.eval_shape(
        lambda v, x: network.apply(v, x, train=False), variables, images
    )
    assert features.shape == shape


def test_small_variant_has_a_16th_of_the_resolution():
    network = resnet.ResNet("resnet8", 4)
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    features, _ = jax.eval_shape(
        lambda x: network.init_with_output(jax.random.key(0), x, train=False), images
    )
    assert features.shape == (1, 4, 4, 16)


def test_bfloat16_activations_keep_parameters_and_output_in_float32():
    network = resnet.ResNet("resnet8", 4, jnp.bfloat16)
    images = jnp.ones((2, 32, 32, 3))
    init = jax.jit(
        lambda x: network.init_with_output(jax.random.key(0), x, train=False)
    )
    features, variables = init(images)
    assert features.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    whole = resnet.ResNet("resnet8", 4).apply(variables, images, train=False)
    assert 0 < np.abs(whole - features).max() < 0.1
