"""Our encoders beside torchvision's, timm's, transformers' and segment_anything's.

Their packages are not in CI, which has stored numbers instead: encoder_goldens_test.py.
"""

import functools

import encoder_weights
import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lvmmed_jax.weights")

import peers  # noqa: E402

from lvmmed_jax.models import encoder_table, position, vit  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on cores that other tests use would wait for each other."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


def _ours(peer, variables, images, train=False):
    network = encoder_weights.make(peer.encoder, peer.width)
    apply = functools.partial(network.apply, train=train, stages=tuple(peer.stages))
    return dict(zip(peer.stages, jax.jit(apply)(variables, images), strict=True))


def _compare(peer, shape, channels=3, batch=2):
    variables = encoder_weights.random_variables(
        peer.encoder, peer.width, peer.size, channels
    )
    images = encoder_weights.random_images(batch, *shape, channels)
    model, _ = _make(peer, variables, channels)
    found = _ours(peer, variables, images)
    with torch.no_grad():
        expected = peers.maps(peer, model.eval(), images, found[max(found)].shape[1:3])
    for stage, theirs in expected.items():
        assert 0.05 < theirs.std() < 100, (stage, theirs.std())
        assert _error(found[stage], theirs) < 1e-4, stage


@pytest.mark.parametrize("name", peers.SMALL)
def test_small_encoders_compute_what_their_peers_do(name):
    peer = peers.SMALL[name]
    _compare(peer, (peer.size, peer.size))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("transformers resnet18", (75, 101)),
        ("transformers resnet18", (33, 64)),
        ("timm vit_s16", (80, 112)),
        ("timm vit_s16", (70, 33)),  # timm pads to whole tiles as we do
        ("timm dinov2_s14_reg", (140, 70)),
        ("segment_anything lvmmed_b16", (224, 224)),
        ("segment_anything lvmmed_b16", (480, 240)),
        ("timm convnext_t", (75, 101)),
    ],
)
def test_other_sizes_of_images(name, shape):
    _compare(peers.SMALL[name], shape)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(
    "name", ["timm vit_s16", "timm convnext_t", "transformers resnet18"]
)
def test_other_numbers_of_channels(name, channels):
    _compare(peers.SMALL[name], (64, 64), channels)


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("torchvision resnet50", (224, 224)),
        ("timm vit_b16", (224, 224)),
        pytest.param("torchvision resnet18", (64, 64), marks=pytest.mark.slow),
        pytest.param("torchvision resnet34", (64, 64), marks=pytest.mark.slow),
        pytest.param("torchvision resnet101", (64, 64), marks=pytest.mark.slow),
        pytest.param("torchvision resnet152", (64, 64), marks=pytest.mark.slow),
        pytest.param("torchvision convnext_t", (64, 64), marks=pytest.mark.slow),
        # the size that LVM-Med was trained at, and SAM's own
        pytest.param("segment_anything lvmmed_b16", (224, 224), marks=pytest.mark.slow),
        pytest.param(
            "segment_anything lvmmed_b16", (1024, 1024), marks=pytest.mark.slow
        ),
    ],
)
def test_published_sizes_compute_what_their_peers_do(name, shape):
    _compare(peers.PUBLISHED[name], shape, batch=1)


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("name", "batch", "side"),
    [
        ("transformers resnet18", 2, 64),
        ("timm dinov2_s14", 2, 56),
        ("timm convnext_t", 2, 64),
        pytest.param("torchvision resnet50", 4, 128, marks=pytest.mark.slow),
        pytest.param("timm vit_b16", 2, 224, marks=pytest.mark.slow),
    ],
)
def test_gradients_are_those_of_the_peers(name, batch, side):
    """Of a weighted sum of the last map; BatchNorm normalises by the batch.

    In float64: in float32 ReLUs near zero fall on either side, and a ResNet-50's
    gradients are 2 percent off in PyTorch as they are here.
    """
    peer = {**peers.SMALL, **peers.PUBLISHED}[name]
    variables = encoder_weights.random_variables(peer.encoder, peer.width, peer.size)
    images = encoder_weights.random_images(batch, side, side)
    with jax.enable_x64(True):
        double = functools.partial(jax.tree.map, lambda x: jnp.asarray(x, jnp.float64))
        network = encoder_table.find(peer.encoder).make(
            peer.encoder, peer.width, jnp.float64, False
        )
        shape = jax.eval_shape(
            functools.partial(network.apply, train=False), variables, images
        ).shape
        weights = encoder_weights.random_images(*shape)

        def total(params, images):
            x, _ = network.apply(
                {**double(variables), "params": params},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            return (x * weights).sum()

        gradients, of_images = jax.jit(jax.grad(total, argnums=(0, 1)))(
            double(variables["params"]), double(images)
        )
    model, rename = _make(peer, variables)
    pixels = torch.tensor(images, dtype=torch.float64, requires_grad=True)
    model = model.double().train()
    found = peers.maps(peer, model, pixels, shape[1:3])[max(peer.stages)]
    (found * torch.tensor(weights)).sum().backward()
    assert _error(of_images, pixels.grad) < 1e-5
    theirs = dict(model.named_parameters())
    for key, ours in rename({"params": gradients}).items():
        if key in theirs:
            assert _error(ours, theirs[key].grad) < 1e-5, key


@pytest.mark.lengthy
def test_statistics_after_three_steps_are_torchs_but_for_the_unbiased_variance():
    """An update's variance is that of the batch; torch's is n / (n - 1) times it."""
    peer = peers.SMALL["transformers resnet18"]
    variables = encoder_weights.random_variables(peer.encoder, peer.width, 64)
    network = encoder_weights.make(peer.encoder, peer.width)
    model, rename = _make(peer, variables)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-2)
    counts = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(
                lambda _, inputs, __, name=name: counts.update(
                    {name: inputs[0][:, 0].numel()}
                )
            )

    @jax.jit
    def step(params, statistics, images):
        def loss(params):
            x, new = network.apply(
                {"params": params, "batch_stats": statistics},
                images,
                train=True,
                mutable=["batch_stats"],
            )
            return (x**2).mean(), new["batch_stats"]

        gradients, statistics = jax.grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - 1e-2 * g, params, gradients), statistics

    params, statistics = variables["params"], variables["batch_stats"]
    for number in range(3):
        images = encoder_weights.random_images(4, 64, 64) + number / 4
        params, statistics = step(params, statistics, images)
        optimiser.zero_grad()
        x = model.train()(torch.tensor(images).permute(0, 3, 1, 2)).last_hidden_state
        (x**2).mean().backward()
        optimiser.step()
    first = rename({"batch_stats": variables["batch_stats"]})
    found = rename({"params": params, "batch_stats": statistics})
    for key, theirs in model.state_dict().items():
        ours, module = found[key], key.rpartition(".")[0]
        if key.endswith("running_var"):
            n, kept = counts[module], 0.9**3
            ours = kept * first[key] + (ours - kept * first[key]) * n / (n - 1)
        if not key.endswith("num_batches_tracked"):
            assert _error(ours, theirs) < 1e-4, key


def test_neck_computes_what_sams_does():
    anything = pytest.importorskip("segment_anything.modeling")
    neck = anything.ImageEncoderViT(embed_dim=24, depth=0, out_chans=8).neck
    x = encoder_weights.random_images(2, 5, 7, 24)
    params = jax.eval_shape(vit.Neck(8).init, jax.random.key(0), x)
    params = encoder_weights.draw(params)
    places = enumerate(("conv1", "norm1", "conv2", "norm2"))
    for index, layer in places:
        leaves = params["params"][layer]
        with torch.no_grad():
            if "kernel" in leaves:
                kernel = leaves["kernel"].transpose(3, 2, 0, 1).copy()
                neck[index].weight.copy_(torch.tensor(kernel))
            else:
                neck[index].weight.copy_(torch.tensor(leaves["scale"]))
                neck[index].bias.copy_(torch.tensor(leaves["bias"]))
    with torch.no_grad():
        expected = neck(torch.tensor(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert _error(vit.Neck(8).apply(params, x), expected) < 1e-5


@pytest.mark.parametrize("sizes", [(14, 14), (14, 9), (14, 24), (37, 16), (127, 27)])
def test_position_tables_are_resized_as_torch_does(sizes):
    num_in, num_out = sizes
    table = np.random.default_rng(0).standard_normal((num_in, 3), np.float32)
    square = torch.tensor(table.T)[None, :, :, None].expand(1, 3, num_in, num_in)
    resize = torch.nn.functional.interpolate

    def of_rows(**settings):
        return resize(square, mode="bicubic", **settings)[0, :, :, 0].T

    size = (num_out, num_in)
    scales = ((num_out + 0.1) / num_in, (num_in + 0.1) / num_in)
    for resampling, expected in (
        (position.LINEAR, resize(torch.tensor(table.T)[None], num_out, mode="linear")),
        (position.TIMM, of_rows(size=size, antialias=True)),
        (position.DINOV2_REGISTERS, of_rows(size=size, antialias=True)),
        (position.DINOV2, of_rows(scale_factor=scales)),
    ):
        if expected.ndim == 3:
            expected = expected[0].T
        if num_in == num_out:  # no origin resizes then
            expected = torch.tensor(table)
        found = position.resize(table, (num_out,), resampling)
        assert _error(found, expected) < 1e-5, resampling


def _make(peer, variables, channels=3):
    try:
        return peers.make(peer, variables, channels)
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def _error(ours, theirs):
    """The largest difference relative to the largest entry."""
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()
