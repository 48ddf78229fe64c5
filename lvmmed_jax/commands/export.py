"""`export`: an encoder as ONNX, or as a folder for a model hub, with a model card."""

import argparse
import json
import pathlib
import sys
from typing import Any

_EXAMPLE = """examples:
  python run.py convert runs/first first.safetensors      # what `export` reads
  python run.py export first.safetensors first.onnx       # in an environment of its own
  python run.py export first.safetensors hub/first        # for timm and model hubs
  python run.py export first.safetensors hub/first --layout torchvision

OUT.onnx takes images [B, H, W, 3], float32 in [0, 1], of the encoder's image size, and
any B; normalisation is inside. It gives feature_map [B, R, S, D] and pooled [B, D]. It
is run in onnxruntime and compared; beyond a relative error of 1e-3 it is not kept.
It needs `pip install -r requirements-export.txt` in an environment of its own.

A folder gets model.safetensors in the layout of another project, lvmmed_jax.safetensors
for this one, config.json, and README.md, the model card, which says how to load it.
"""
_LAYOUTS = ("hub", "timm", "torchvision", "lvmmed", "sam")


def main(argv: list[str]) -> int:
    """Parses, exports, prints; returns the exit code."""
    arguments = _parse(argv)
    result = run(arguments)
    if result["licence"]:
        print(f"licence: {result['licence']['notice']}", file=sys.stderr)
    print(json.dumps(result) if arguments.json else _text(result))
    return 0


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Exports; nothing is written before the encoder is read and checked."""
    model, out = pathlib.Path(arguments.model), pathlib.Path(arguments.out)
    onnx = out.suffix == ".onnx"
    _check(model, out, arguments)
    # no orbax from here on: where ONNX is made there is another one than ours
    from lvmmed_jax.release import card, hub, onnx_file, training
    from lvmmed_jax.weights import exported

    if onnx:
        onnx_file.check_installed()
    leakage = arguments.leakage and training.read_leakage(arguments.leakage)
    one = exported.read(model)
    result = {"out": str(out), "licence": one.about["licence"]}
    if not onnx:
        layout = None if arguments.layout in (None, "hub") else arguments.layout
        written = hub.write(out, one, layout, leakage)
        return {**result, "card": str(out / "README.md"), **written}
    written = onnx_file.write(out, one)
    place = card.path_of(out)
    text = card.make(
        one.about,
        num_parameters=hub.count_parameters(one),
        digests={out.name: written.sha256},
        usage=onnx_file.lines(out.name),
        leakage=leakage,
    )
    card.write(place, text)
    return {
        **result,
        "card": str(place),
        "sha256": {out.name: written.sha256},
        "max_relative_error": max(written.errors.values()),
        "errors": written.errors,
        "shapes": written.shapes,
    }


def _check(
    model: pathlib.Path, out: pathlib.Path, arguments: argparse.Namespace
) -> None:
    """Refuses what cannot be exported, before anything is imported.

    Raises:
      ValueError: options that contradict each other, or no exported file.
      FileNotFoundError: it is not there.
      FileExistsError: OUT exists and `--overwrite` is not said.
    """
    onnx = out.suffix == ".onnx"
    if onnx and arguments.layout:
        raise ValueError("--layout is of a folder, not of an .onnx file")
    if not onnx and out.suffix in (".safetensors", ".pth", ".pt", ".bin"):
        raise ValueError(f"{out}: `convert` writes single files; name a folder here")
    if not model.exists():
        raise FileNotFoundError(
            f"{model}: no such file; `export` reads what `convert` wrote"
        )
    if model.is_dir():
        raise ValueError(
            f"{model} is a folder: `convert {model} OUT.safetensors` makes the file "
            "that `export` reads"
        )
    if out.is_dir() and onnx:
        raise IsADirectoryError(f"{out} is a folder: name a file in it")
    if out.is_file() and not onnx:
        raise FileExistsError(f"{out} is a file: name a folder, or NAME.onnx")
    filled = out.is_file() or (out.is_dir() and any(out.iterdir()))
    if filled and not arguments.overwrite:
        raise FileExistsError(f"{out} exists: --overwrite replaces it")


def _text(result: dict[str, Any]) -> str:
    lines = []
    if "errors" in result:
        lines = [f"{name} {list(shape)}" for name, shape in result["shapes"].items()]
        lines.append(
            "in onnxruntime, largest relative error: "
            + ", ".join(f"{name} {e:.1e}" for name, e in result["errors"].items())
        )
    else:
        lines.append(f"layout {result['layout']}")
    lines.append(f"wrote {result['out']} and its model card, {result['card']}")
    lines += [f"SHA-256 {digest} {name}" for name, digest in result["sha256"].items()]
    return "\n".join(lines)


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed export",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="a file that `convert` wrote")
    parser.add_argument("out", metavar="OUT", help="NAME.onnx, or a folder")
    parser.add_argument(
        "--layout",
        choices=_LAYOUTS,
        help="of model.safetensors; hub (the default): timm's where timm has it",
    )
    parser.add_argument(
        "--leakage",
        metavar="F",
        type=pathlib.Path,
        help="what `leakage ... --json` printed; its counts stand in the card",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(argv)
