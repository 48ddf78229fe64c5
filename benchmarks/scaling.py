"""What training costs on machines that are not here: arithmetic, to be changed.

    python benchmarks/scaling.py --data SHARDS       minutes: it compiles, runs nothing
    python benchmarks/scaling.py --quick             without compiling
    python benchmarks/scaling.py --counts FILE --batch-per-chip 64 --utilisation 0.2 0.4

Counted: operations, bytes and collectives of the real training step. Measured: decoding
on this machine. Stated by makers: `hardware.py`. The rest is assumed, and a flag here
or a field of `scaling_model.Assumed`; its two ends make the ranges (docs/scaling.md).
FILE is what `--json` printed: counting again is then spared.
"""

import argparse
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks import hardware, scaling_model, scaling_tables, step_counts

_DECODED = 800.0  # images a second and core; see docs/scaling.md
_STORED = 25e3  # bytes of such an image in a shard
_CHIPS = (8, 16, 32, 64, 128, 256)
_ENDS = (0, 1)


def main(argv: list[str] | None = None) -> None:
    """Counts, prints tables, and with --json one object on the last line."""
    options = _parse(argv)
    if options.counts:
        counts = json.loads(options.counts.read_text().splitlines()[-1])
        counts = counts.get("counts", counts)
    else:
        counts = step_counts.run(options.config, not options.quick)
    _check(options, counts["graph_size"])
    core, stored = options.images_per_core, _STORED
    if options.data:
        core, stored = decode_rate(options.data, 3 if options.quick else 8)
    step = scaling_model.from_counts(counts)
    assumed = scaling_model.Assumed(
        utilisation=tuple(sorted(options.utilisation)),
        links_use=options.links_use,
        hidden=options.hidden,
    )
    found = {
        name: predict(step, machine, assumed, options, core)
        for name, machine in hardware.MACHINES.items()
    }
    scaling_tables.show_counts(counts, step)
    scaling_tables.show_machines(hardware.MACHINES)
    scaling_tables.show(found, options, core, stored, counts["view_size"])
    if options.json:
        result = {
            "counts": counts,
            "machines": found,
            "images_per_second_core": core,
            "bytes_per_image": stored,
            "options": vars(options),
        }
        print(json.dumps(result, default=str))


def _check(options: argparse.Namespace, graph_size: int) -> None:
    """Refuses what the formulas have no answer for."""
    if options.batch_per_chip % graph_size:
        raise SystemExit(
            f"--batch-per-chip {options.batch_per_chip}: use a multiple of the "
            f"{graph_size} images of a graph"
        )
    if options.chips > 8 and options.chips % 8:
        raise SystemExit(f"--chips {options.chips}: above 8 use whole nodes of 8")


def predict(step, machine: hardware.Machine, assumed, options, core: float) -> dict:
    """All figures of one machine; pairs are the two ends, the worse first.

    Args:
      step: a `scaling_model.Step`.
      machine: where it would run.
      assumed: a `scaling_model.Assumed`.
      options: of the command line.
      core: images a second that one core decodes.
    """
    model, batch = scaling_model, options.batch_per_chip
    given = [
        model.parts(step, machine, batch, assumed, end) | {"batch": batch}
        for end in _ENDS
    ]
    rates = [batch / each["chip"] for each in given]

    def each(efficiency, images):
        return {
            num: [efficiency(step, machine, num, images, assumed, end) for end in _ENDS]
            for num in _CHIPS
        }

    whole = [
        rate * model.weak(step, machine, options.chips, batch, assumed, end)
        for end, rate in zip(_ENDS, rates, strict=True)
    ]
    hours = [model.chip_hours(rate, options.images, options.epochs) for rate in whole]
    return {
        "parts": given,
        "images_per_second_chip": rates,
        "sums": {num: model.sums(step, machine, num, assumed) for num in _CHIPS},
        "weak": each(model.weak, batch),
        "strong": each(model.strong, options.global_batch),
        "host_images_per_second": [rate * machine.host_chips for rate in rates],
        "host_cores": [rate * machine.host_chips / core for rate in rates],
        "host_threads": machine.host_threads,
        "chip_hours": hours,
        "hours": [each / options.chips for each in hours],
    }


def decode_rate(shards: pathlib.Path, duration: float) -> tuple[float, float]:
    """Images a second of processor time, and stored bytes an image, of real shards."""
    from data_pipelines import mixture

    batches = mixture.host_batches(
        shards, global_batch=64, seed=0, start=0, num_workers=0
    )
    next(batches)
    began, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < duration:
        count += len(next(batches)["image"])
    used = time.process_time() - used
    batches.close()
    found = mixture.read_manifest(shards)
    stored = sum((shards / name).stat().st_size for name in found["sha256"])
    return count / used, stored / found["records"]


def _parse(argv) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config", default="lvmmed_resnet50", help="name or file")
    add("--counts", type=pathlib.Path, help="output of an earlier --json")
    add("--data", type=pathlib.Path, help="shards whose decoding is measured")
    add("--images-per-core", type=float, default=_DECODED, help="where it is not")
    add("--batch-per-chip", type=int, default=96, help="images, weak scaling")
    add("--global-batch", type=int, default=3072, help="images, strong scaling")
    add("--utilisation", type=float, nargs=2, default=(0.3, 0.5), help="of the peak")
    add("--links-use", type=float, default=0.7, help="share of the stated speed")
    add("--hidden", type=float, default=0.0, help="share of the gradient's all-reduce")
    add("--images", type=float, default=1.3e6, help="an epoch")
    add("--epochs", type=int, default=100)
    add("--chips", type=int, default=16, help="of the whole run")
    add("--quick", action="store_true", help="do not compile")
    add("--json", action="store_true", help="one object, last line")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
