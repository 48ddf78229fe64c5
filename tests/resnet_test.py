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


@pytest.mark.lengthy
@pytest.mark.parametrize("variant", ["resnet8", "resnet18"])
def test_cell_centres_are_where_the_gradient_is(variant):
    """The centroid of a middle cell's receptive field, in a network of averages."""
    network, size = resnet.ResNet(variant, 2), 256
    init = jax.jit(lambda x: network.init(jax.random.key(0), x, train=False))
    image = jax.random.uniform(jax.random.key(1), (1, size, size, 3))
    variables = jax.tree.map(
        lambda x: jnp.full_like(x, 1 / x[..., 0].size if x.ndim == 4 else 1),
        init(image),
    )
    cells = network.apply(variables, image, train=False).shape[1]

    def middle(image):
        features = network.apply(variables, image, train=False)
        return jnp.sum(features[0, cells // 2, cells // 2])

    energy = np.square(np.asarray(jax.jit(jax.grad(middle))(image)[0])).sum((1, 2))
    centroid = (energy * (np.arange(size) + 0.5)).sum() / energy.sum()
    expected = resnet.cell_centres(cells, size)[cells // 2] * size
    assert abs(centroid - expected) < 0.2 * size / cells


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


@pytest.mark.lengthy
def test_remat_keeps_less_and_changes_no_number():
    images = jax.random.normal(jax.random.key(0), (8, 64, 64, 3))
    found, kept = [], []
    for remat in (False, True):
        network = resnet.ResNet("resnet18", 8, remat=remat)
        variables = jax.jit(
            lambda x, network=network: network.init(jax.random.key(1), x, train=False)
        )(images)

        def loss(params, statistics, network=network):
            features, new = network.apply(
                {"params": params, "batch_stats": statistics},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            return jnp.mean(jnp.square(features)), new

        arguments = variables["params"], variables["batch_stats"]
        # what the forward pass hands to the backward one
        _, backward, _ = jax.eval_shape(
            lambda *x, loss=loss: jax.vjp(loss, *x, has_aux=True), *arguments
        )
        kept.append(sum(leaf.size for leaf in jax.tree.leaves(backward)))
        gradient_fn = jax.jit(jax.value_and_grad(loss, has_aux=True))
        found.append((variables, gradient_fn(*arguments)))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), *found
    )
    assert kept[1] < 0.7 * kept[0], kept
