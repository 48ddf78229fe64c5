"""Sections of pictures: large images are made small."""

import numpy as np
from work_folders import blobs, make_run

from lvmmed_jax.report import pictures


def test_large_pictures_are_made_small():
    rng = np.random.default_rng(0)
    images = blobs(rng, 20, 512) // 2 + rng.integers(0, 9, (20, 512, 512), np.uint8)
    arrays = dict.fromkeys(("truth", "random", "pretrained"), images // 64)
    arrays |= {"images": images, "class_names": np.array(["background", "a", "b"])}
    text = pictures.overlays(make_run([], evaluation_pictures=arrays))
    assert len(text) < 2e6
    assert text.count('alt="truth"') == 8
