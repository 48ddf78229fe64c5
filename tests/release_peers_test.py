"""Exported folders, loaded in stock timm and torchvision by the lines of their cards.

Needs torch and the peer; weights are random.
"""

import re

import numpy as np
import pytest

from lvmmed_jax import command_line, encoders

torch = pytest.importorskip("torch")

_CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def _theirs(model, images):
    """[n, D] of torch, from uint8 [n, H, W, 3]."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    inputs = (images / 255 - np.array(mean)) / np.array(std)
    with torch.no_grad():
        found = model.eval()(torch.tensor(inputs, dtype=torch.float32).movedim(3, 1))
    return found.numpy()


@pytest.mark.lengthy
@pytest.mark.parametrize(
    ("peer", "name", "layout", "size"),
    [
        ("timm", "resnet18", "timm", 64),
        ("timm", "vit_small_patch16_224", "timm", 224),
        ("torchvision", "resnet18", "torchvision", 64),
        ("torchvision", "vit_b_16", "torchvision", 224),
    ],
)
def test_the_lines_of_a_card_load_the_folder(peer, name, layout, size, tmp_path):
    module = pytest.importorskip(peer)
    if peer == "timm":
        origin = module.create_model(name, num_classes=0)
    else:
        origin = module.models.get_model(name, weights=None)
    torch.save(origin.state_dict(), tmp_path / "origin.pth")
    ours, folder = tmp_path / "ours.safetensors", tmp_path / "hub"
    words = ["convert", str(tmp_path / "origin.pth"), str(ours)]
    assert command_line.main([*words, "--image-size", str(size)]) == 0
    words = ["export", str(ours), str(folder), "--layout", layout]
    assert command_line.main(words) == 0
    code = _CODE.search((folder / "README.md").read_text())[1]
    theirs_only = code.split("# or, in JAX")[0].replace("FOLDER", str(folder))
    found = {}
    exec(theirs_only, found)
    model = found["model"]
    if layout == "torchvision":  # its classifier is not ours
        setattr(model, "fc" if name == "resnet18" else "heads", torch.nn.Identity())
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    theirs = _theirs(model, images)
    if name == "vit_b_16":  # torchvision's output is the class token, ours the mean
        tokens = {}
        model.encoder.register_forward_hook(
            lambda module, given, out: tokens.update(out=out)
        )
        _theirs(model, images)
        theirs = tokens["out"][:, 1:].mean(dim=1).numpy()
    own = encoders.pooled_features(encoders.load(str(ours)), images)
    np.testing.assert_allclose(theirs, own, atol=1e-4 * np.abs(own).max())
