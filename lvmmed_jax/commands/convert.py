"""`convert`: weights of other projects in, ours out to them; every tensor explained."""

import argparse
import json
import pathlib
import sys
from typing import Any

_EXAMPLE = """examples:
  python run.py convert lvmmed_resnet.torch lvmmed.safetensors
  python run.py evaluate lvmmed.safetensors --data my/class_folders
  python run.py convert moco_v2_800ep.pth.tar moco.safetensors
  python run.py convert runs/first first.safetensors
  python run.py convert first.safetensors first_timm.safetensors --layout timm
  python run.py convert lvmmed_vit.pth sam_lvmmed.pth --into sam_vit_b_01ec64.pth

IN is a torch file (needs torch; no code in it is run), a safetensors file, a folder
with one of them, a work folder, a checkpoint, or an encoder that was exported before.
OUT ends in .safetensors (for `evaluate`; with --layout for other projects) or in .pth,
.pt, .torch, .bin (a torch state dict). Its SHA-256 and its model card, OUT.md, are
written beside it; a work folder's evaluation.json, and leakage.json where `leakage` was
asked to write there, go into the card as scores and counts. `export` makes ONNX.

Layouts that are read: torchvision, timm, Hugging Face transformers, SAM, LVM-Med,
VISSL, VICRegL, MoCo, DINO, lightly; prefixes and nested dicts are found where only one
fits. A file with a tensor that no rule explains is refused with the list.
"""
_TOLD = {
    "default": "no file says so: ImageNet's; --mean and --std say others",
    "user": "as you say",
    "run": "as it was trained",
}
_TORCH_SUFFIXES = (".pth", ".pt", ".torch", ".bin")
_LAYOUTS = ("flax", "torchvision", "timm", "lvmmed", "sam")


def main(argv: list[str]) -> int:
    """Parses, converts, prints; returns the exit code."""
    arguments = _parse(argv)
    result = run(arguments)
    if result["licence"]:
        print(f"licence: {result['licence']['notice']}", file=sys.stderr)
    print(json.dumps(result) if arguments.json else _table(result))
    return 0


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Converts; nothing is written before all is read and checked."""
    out = pathlib.Path(arguments.out)
    _check_out(out, arguments)
    from lvmmed_jax.release import card, hub
    from lvmmed_jax.weights import conversion, exported, torch_files, writing

    torch = out.suffix in _TORCH_SUFFIXES
    if torch:
        torch_files.check_installed(out)
    wishes = conversion.Wishes(
        encoder=arguments.encoder,
        prefix=arguments.prefix,
        source=arguments.source,
        mean=arguments.mean and tuple(arguments.mean),
        std=arguments.std and tuple(arguments.std),
        image_size=arguments.image_size,
    )
    found, told = _read(arguments.model, wishes)
    if arguments.layout in (None, "flax") and not torch and not arguments.into:
        tensors, layout = None, exported.LAYOUT
        digest = exported.write(out, found)
    else:
        layout = arguments.layout or ("sam" if arguments.into else None)
        tensors, layout = writing.tensors(found, layout, arguments.into)
        digest = writing.write(out, tensors, {**found.about, "layout": layout})
    about, num_parameters = found.about, hub.count_parameters(found)
    text = card.make(about, num_parameters=num_parameters, digests={out.name: digest})
    card.write(card.path_of(out), text)
    return {
        "out": str(out),
        "card": str(card.path_of(out)),
        "sha256": digest,
        "layout": layout,
        "num_tensors": _num_leaves(found.variables)
        if tensors is None
        else len(tensors),
        "num_parameters": num_parameters,
        **{name: about[name] for name in ("encoder", "input", "source", "licence")},
        **told,
    }


def _check_out(out: pathlib.Path, arguments: argparse.Namespace) -> None:
    """Refuses what cannot be written, before anything is read.

    Raises:
      ValueError: the suffix, options that contradict each other, or IN itself.
      FileExistsError: it exists and `--overwrite` is not said.
    """
    if out.suffix not in (".safetensors", *_TORCH_SUFFIXES):
        raise ValueError(
            f"{out} must end in .safetensors, or in {', '.join(_TORCH_SUFFIXES)} for a "
            "torch file"
        )
    if arguments.layout == "flax" and out.suffix != ".safetensors":
        raise ValueError(f"--layout flax needs a .safetensors file, not {out}")
    if arguments.into and arguments.layout not in (None, "sam"):
        raise ValueError(f"--into writes a SAM file, not --layout {arguments.layout}")
    for name in filter(None, (arguments.model, arguments.into)):
        if out.exists() and pathlib.Path(name).exists() and out.samefile(name):
            raise ValueError(f"{out} would replace what it is made of")
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder: name a file in it")
    if out.exists() and not arguments.overwrite:
        raise FileExistsError(f"{out} exists: --overwrite replaces it")


def _read(model: str, wishes: Any) -> tuple[Any, dict[str, Any]]:
    """The encoder, and what there is to say about its file."""
    from lvmmed_jax import encoders
    from lvmmed_jax.release import training
    from lvmmed_jax.weights import conversion, exported, reading

    path = pathlib.Path(model)
    if encoders.is_run(path):
        found = encoders.export(path)
        found.about["training"] = training.of_encoder(path, found.about)
        return conversion.with_wishes(found, wishes), {}
    stored = reading.read(path)
    about = exported.metadata_of(stored.metadata)
    if about is not None and about["layout"] == exported.LAYOUT:
        return conversion.with_wishes(exported.read(stored.path), wishes), {}
    found = conversion.from_file(stored, wishes)
    account = found.account
    return found.exported, {
        "chosen_by": found.rule,
        "num_mapped": len(account.mapped),
        "num_counts": len(account.counts or ()),
        "dropped": account.dropped,
    }


def _num_leaves(tree: Any) -> int:
    if isinstance(tree, dict):
        return sum(map(_num_leaves, tree.values()))
    return 1


def _table(result: dict[str, Any]) -> str:
    """What was read, what became of it, what was written."""
    source, given = result["source"], result["input"]
    encoder = ", ".join(f"{key} {value}" for key, value in result["encoder"].items())
    lines = [
        f"{encoder}: {result['num_parameters']:,} parameters",
        f"from {source['file']}, layout {source['layout']}"
        + (f", under {source['prefix']!r}" if source["prefix"] else ""),
        f"SHA-256 {source['sha256']}",
    ]
    if result.get("chosen_by"):
        lines.append(f"chosen: {result['chosen_by']}")
    if "num_mapped" in result:
        lines.append(f"mapped: {result['num_mapped']} tensors")
    if result.get("num_counts"):
        lines.append(
            f"kept in the metadata: {result['num_counts']} num_batches_tracked"
        )
    lines += [
        f"dropped: {len(names)}, {rule} ({_few(names)})"
        for rule, names in result.get("dropped", {}).items()
    ]
    lines += [
        f"brought to float32: {count} of {name}"
        for name, count in source["types"].items()
    ]
    lines.append(
        f"input: {given['channels']} in [0, 1], mean {_numbers(given['mean'])}, std "
        f"{_numbers(given['std'])} ({_TOLD.get(given['told_by'], given['told_by'])}), "
        f"{given['size']} pixels"
    )
    lines.append(f"wrote {result['out']}, layout {result['layout']}")
    lines.append(f"model card: {result['card']}")
    lines.append(f"SHA-256 {result['sha256']}")
    return "\n".join(lines)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _size(text: str) -> int:
    if not 1 <= int(text) <= 8192:
        raise ValueError
    return int(text)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed convert",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="IN", help="weights, see below")
    parser.add_argument("out", metavar="OUT", help="the file to write")
    parser.add_argument(
        "--layout",
        choices=_LAYOUTS,
        help="of OUT; flax is ours (default for its suffix)",
    )
    parser.add_argument(
        "--into", metavar="SAM", help="a SAM file to put the encoder in"
    )
    parser.add_argument("--encoder", help="which one IN holds, where it is not seen")
    parser.add_argument(
        "--prefix", help="take only tensors below it, where IN holds several encoders"
    )
    parser.add_argument(
        "--source",
        choices=("lvmmed", "own"),
        help="whose weights: lvmmed keeps its non-commercial notice (default: by name)",
    )
    for name in ("mean", "std"):
        parser.add_argument(
            f"--{name}", type=float, nargs="+", help="of the input's channels in [0, 1]"
        )
    parser.add_argument("--image-size", type=_size, help="pixels a side of the input")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    if arguments.std and min(arguments.std) <= 0:
        parser.error("--std must be above 0")
    return arguments
