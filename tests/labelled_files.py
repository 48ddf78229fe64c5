"""Tiny labelled data sets in every layout, for tests."""

import json

import nibabel
import numpy as np
import PIL.Image

from data_pipelines import slices
from data_pipelines.labels import decoding, layouts, survey

CONTEXT = slices.Context(modality="MR")


def picture(seed, *shape):
    """Smooth enough for near hashes to tell apart: coarse noise, enlarged."""
    height, width = shape[:2] or (40, 48)
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, *shape[2:]), np.uint8)
    image = PIL.Image.fromarray(coarse)
    return np.asarray(image.resize((width, height), PIL.Image.Resampling.BILINEAR))


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)
    return path


def class_folders(root, **counts):
    seed = 0
    for name, count in counts.items():
        for index in range(count):
            save(root / name / f"{index}.png", picture(seed))
            seed += 1
    return root


def masks(root, count, *, foreground=255):
    """Every second mask is empty."""
    for index in range(count):
        save(root / "images" / f"{index}.png", picture(index))
        mask = np.zeros((40, 48), np.uint8)
        mask[5:15, 10:30] = foreground * (index % 2)
        save(root / "labels" / f"{index}.png", mask)
    return root


def voc(path, boxes, *, size=(40, 48)):
    """Boxes (ymin, xmin, ymax, xmax, name)."""
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for y0, x0, y1, x1, name in boxes
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><size><width>{size[1]}</width><height>{size[0]}</height></size>"
        f"{objects}</annotation>"
    )


def coco(path, pictures, annotations, categories):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {"images": pictures, "annotations": annotations, "categories": categories}
        )
    )


def volumes(root, count, *, shape=(6, 7, 5)):
    """Volumes whose axes are stored turned, and labels 0, 3 and 7."""
    turned = np.diag([-1.0, 1.0, 2.0, 1.0])
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rng = np.random.default_rng(index)
        image = rng.normal(size=shape).astype(np.float32)
        label = rng.choice([0, 0, 3, 7], shape).astype(np.int16)
        label[:, :, 0] = 0
        for kind, values in (("images", image), ("labels", label)):
            path = root / kind / f"v{index}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(values, turned), path)
    return root


def npz(path, labels, **more):
    """An .npz with pictures [n, 40, 48] for the labels of each part."""
    arrays = dict(more)
    seed = 0
    for part, own in labels.items():
        arrays[f"{part}_labels"] = np.asarray(own)
        pictures = [picture(seed + index) for index in range(len(own))]
        arrays.setdefault(f"{part}_images", np.stack(pictures))
        seed += len(own)
    np.savez(path, **arrays)
    return path


def surveyed(data, cache=None, context=CONTEXT):
    listing = layouts.find(str(data), context)
    decoder = decoding.Decoder(context, cache)
    return survey.survey(listing, decoder, num_threads=2, progress=lambda number: None)
