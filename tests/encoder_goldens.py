"""Makes `goldens/encoders.npz`: what encoders of torch packages compute.

    pip install -r requirements-torch.txt torchvision timm transformers segment-anything
    PYTHONPATH=.:tests python tests/encoder_goldens.py

takes a minute. Weights and images are drawn anew wherever they are needed
(encoder_weights.py), so that the file holds a part of the maps only.
"""

import pathlib

import encoder_weights
import numpy as np

FILE = pathlib.Path(__file__).with_name("goldens") / "encoders.npz"
# package and encoder (a row of peers.SMALL), images [B, H, W, C]
SMALL = (
    ("transformers resnet18", (2, 75, 101, 1)),
    ("transformers resnet50", (1, 64, 64, 3)),
    ("timm vit_s16", (2, 64, 64, 3)),
    ("timm vit_s16", (1, 70, 33, 4)),
    ("transformers dinov2_s14", (2, 56, 56, 3)),
    ("timm dinov2_s14_reg", (1, 140, 70, 3)),
    ("timm dinov2_g14", (1, 56, 56, 3)),
    ("segment_anything sam_b16", (1, 320, 320, 3)),
    ("segment_anything lvmmed_b16", (1, 480, 240, 3)),
    ("timm convnext_t", (2, 75, 101, 3)),
)
PUBLISHED = (  # a row of peers.PUBLISHED, at the real size
    ("torchvision resnet50", (1, 224, 224, 3)),
    ("timm vit_b16", (1, 224, 224, 3)),
)
TABLES = ((14, 9), (14, 24), (37, 16))  # rows of a table, rows that are wanted
_KEPT = 500  # numbers of a map


def name(peer, shape, stage):
    """The key of a map in the file."""
    return f"{peer} {'x'.join(map(str, shape))} {stage}"


def part(feature_map):
    """Numbers spread over a map."""
    flat = np.asarray(feature_map).ravel()
    return flat[:: max(len(flat) // _KEPT, 1)]


def table(num_rows):
    """A position table [num_rows, 3]."""
    return np.random.default_rng(num_rows).standard_normal((num_rows, 3), np.float32)


def main():
    """Writes the file."""
    import peers
    import torch

    found = {}
    for peer_name, shape in (*SMALL, *PUBLISHED):
        rows = peers.SMALL if (peer_name, shape) in SMALL else peers.PUBLISHED
        peer = rows[peer_name]
        variables = encoder_weights.random_variables(
            peer.encoder, peer.width, peer.size, shape[3]
        )
        model, _ = peers.make(peer, variables, shape[3])
        patch = 14 if "14" in peer_name else 16
        grid = tuple(-(-side // patch) for side in shape[1:3])
        images = encoder_weights.random_images(*shape)
        with torch.no_grad():
            maps = peers.maps(peer, model.eval(), images, grid)
        for stage, feature_map in maps.items():
            found[name(peer_name, shape, stage)] = part(feature_map)
    for num_in, num_out in TABLES:
        square = torch.tensor(table(num_in).T)[None, :, :, None]
        resized = torch.nn.functional.interpolate(
            square.expand(1, 3, num_in, num_in),
            scale_factor=((num_out + 0.1) / num_in, (num_in + 0.1) / num_in),
            mode="bicubic",
        )
        found[f"dinov2 table {num_in} {num_out}"] = resized[0, :, :, 0].T.numpy()
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, **found)
    print(f"{len(found)} arrays, {FILE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
