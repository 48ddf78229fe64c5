"""Boxes: one Pascal VOC XML a picture, or one COCO JSON for all."""

import json
import math
import pathlib
from collections.abc import Sequence
from xml.etree import ElementTree

from data_pipelines import names
from data_pipelines.labels import examples, pairing

_MOST_BYTES = 16 * 2**20  # of one XML; a larger one is none
NO_ANNOTATION = "no annotation of this picture"
NO_PICTURE = "an annotation of a picture that is not there"
NO_AREA = "a box of no area"
CROWD = "a box around a crowd"
BROKEN = "an annotation that cannot be read"


def read(root: pathlib.Path, images: Sequence[pathlib.Path]) -> examples.Listing:
    """Lists pictures and the boxes in them.

    A picture that is annotated with no box has none: it is kept. One that is not
    annotated at all, an annotation without a picture, a box of no area or around a
    crowd are left out and counted. Edges of boxes are taken as they stand: pixel k
    spans k to k + 1.

    Args:
      root: holds `annotations/` with VOC files of the pictures' names, or one JSON.
      images: the pictures in `images/`, sorted.

    Raises:
      ValueError: there is neither, or both; or a JSON is not COCO's.
    """
    folder = root / "annotations"
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    xml = sorted(path for path in files if path.suffix.lower() == ".xml")
    coco = sorted(path for path in files if path.suffix.lower() == ".json")
    if bool(xml) == bool(coco) or len(coco) > 1:
        raise ValueError(
            f"{folder}: needs one .xml a picture (Pascal VOC) or one .json (COCO), has "
            f"{len(xml)} and {len(coco)}"
        )
    if coco:
        found, notes, class_names = _coco(root, images, coco[0])
    else:
        found, notes = _voc(root, images, xml)
        occurring = {box.name for each in found for box in each.boxes}
        class_names = tuple(sorted(occurring, key=names.natural))
    if not found:
        raise ValueError(f"{folder}: annotates no picture of images/")
    return examples.Listing(root, examples.BOXES, class_names, found, notes)


def _place(root, number, path) -> examples.Place:
    return examples.Place(path, f"{root}: images/", number)


def _voc(root, images, files):
    pairing.by_stems(images, f"{root}: images/")
    truths, found, notes = {pairing.stem(path): path for path in files}, [], []
    order = {path: number for number, path in enumerate(files, start=1)}
    for number, path in enumerate(images, start=1):
        place, truth = _place(root, number, path), truths.pop(pairing.stem(path), None)
        if truth is None:
            notes.append(examples.Note(NO_ANNOTATION, place.public()))
            continue
        own = examples.Place(truth, f"{root}: annotations/", order[truth]).public
        try:
            size, boxes = _parse_voc(truth)
        except (
            ElementTree.ParseError,
            ValueError,
            TypeError,
            AttributeError,
            OverflowError,
            OSError,
        ):
            notes.append(examples.Note(BROKEN, own()))
            continue
        kept = [box for box in boxes if _has_area(box)]
        notes += [examples.Note(NO_AREA, own())] * (len(boxes) - len(kept))
        found.append(examples.Example(place, boxes=tuple(kept), stated_size=size))
    for truth in truths.values():
        where = examples.Place(truth, f"{root}: annotations/", order[truth]).public()
        notes.append(examples.Note(NO_PICTURE, where))
    return found, notes


def _parse_voc(path):
    """(height, width) or None, and all boxes."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("too large")
    data = path.read_bytes()
    if b"<!ENTITY" in data:  # may grow without end
        raise ValueError("entities")
    tree = ElementTree.fromstring(data)
    height, width = (
        int(float(tree.findtext(f"size/{name}") or 0)) for name in ("height", "width")
    )
    boxes = []
    for each in tree.iter("object"):
        edges = [
            _number(each.find(f"bndbox/{name}").text)
            for name in ("ymin", "xmin", "ymax", "xmax")
        ]
        boxes.append(examples.Box(*edges, name=each.find("name").text.strip()))
    return ((height, width) if height and width else None), boxes


def _coco(root, images, path):
    try:
        data = json.loads(path.read_bytes())
        listed = sorted(data["categories"], key=lambda each: each["id"])
        categories = {each["id"]: str(each["name"]) for each in listed}
        pictures = {each["id"]: each for each in data["images"]}
        by_picture, notes = _coco_boxes(path, data, categories, pictures)
        names_of = {key: str(each["file_name"]) for key, each in pictures.items()}
        sizes = {
            key: (int(each.get("height") or 0), int(each.get("width") or 0))
            for key, each in pictures.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(
            f"{path}: not a COCO file of images, annotations and categories"
        ) from None
    ids = {pathlib.PurePath(name).name: key for key, name in names_of.items()}
    if len(ids) < len(names_of):
        raise ValueError(f"{path}: lists two pictures of one name")
    found = []
    for number, image in enumerate(images, start=1):
        place, key = _place(root, number, image), ids.pop(image.name, None)
        if key is None:
            notes.append(examples.Note(NO_ANNOTATION, place.public()))
            continue
        size = sizes[key] if all(sizes[key]) else None
        boxes = tuple(by_picture.get(key, ()))
        found.append(examples.Example(place, boxes=boxes, stated_size=size))
    notes += [examples.Note(NO_PICTURE, f"{path}:")] * len(ids)
    return found, notes, tuple(categories.values())


def _coco_boxes(path, data, categories, pictures):
    boxes, notes = {}, []
    for each in data["annotations"]:
        x, y, width, height = (_number(value) for value in each["bbox"])
        box = examples.Box(y, x, y + height, x + width, categories[each["category_id"]])
        if each["image_id"] not in pictures:
            notes.append(examples.Note(NO_PICTURE, f"{path}:"))
        elif each.get("iscrowd"):
            notes.append(examples.Note(CROWD, f"{path}:"))
        elif not _has_area(box):
            notes.append(examples.Note(NO_AREA, f"{path}:"))
        else:
            boxes.setdefault(each["image_id"], []).append(box)
    return boxes, notes


def _number(text) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _has_area(box: examples.Box) -> bool:
    return box.y1 > box.y0 and box.x1 > box.x0
