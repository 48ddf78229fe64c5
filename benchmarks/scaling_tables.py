"""Prints what `scaling.py` counted and predicts, as Markdown tables."""

from benchmarks import hardware

_PAPER_HOURS = 1920  # section 4.1: 16 A100, 5 days


def show_counts(counts: dict, step) -> None:
    """Prints what a step does.

    Args:
      counts: of `step_counts`.
      step: the `scaling_model.Step` made of them.
    """
    print(f"{counts['config']}: {counts['network']}, {counts['view_size']} px")
    print(f"  {step.flops / 1e9:.2f} GFLOP an image (two views)", end=" ")
    print(
        f"+ {step.fixed_flops / 1e9:.2f} a step; {step.parameters / 1e6:.1f} M values"
    )
    print(f"  {step.memory / 1e6:.0f} MB an image pass convolutions and products")
    print(
        f"  gradient {step.gradient / 1e6:.1f} MB; {step.num_small} small all-reduces"
    )
    rows = {int(images): row["flops"] for images, row in counts["by_batch"].items()}
    if len(rows) > 1:
        off = max(
            abs(step.fixed_flops + step.flops * images - flops) / flops
            for images, flops in rows.items()
        )
        print(f"  a straight line through {sorted(rows)} images is off by {off:.1e}")
    made = counts.get("compiled")
    if made is None:
        print("  not compiled: collectives computed from parameters and BatchNorms")
        return
    per = made["batch_per_chip"]
    print(f"  compiled for {made['devices']} fake CPU devices, {per} images on each:")
    print(f"    {made['flops'] / per / 1e9:.2f} GFLOP an image", end=", ")
    print(f"{made['bytes'] / per / 1e9:.2f} GB of traffic", end=", ")
    print(f"{made['temporary_bytes'] / per / 1e6:.0f} MB of buffers (bfloat16 widened)")
    for name, title in (("collectives", "as compiled"), ("partitioned", "before that")):
        if made[name]:
            print(f"    {title}: {_collectives(made[name])}")


def show_machines(machines: dict[str, hardware.Machine]) -> None:
    """Prints what makers state."""
    _table(
        "Stated by the makers, a chip",
        ("TFLOP/s", "TB/s", "GB", "links, GB/s one way", "chips a host", "source"),
        {
            name: [
                f"{row.teraflops}",
                f"{row.memory / 1e12:.2f}",
                f"{row.gigabytes}",
                row.links.describe(),
                f"{row.host_chips}",
                row.source,
            ]
            for name, row in machines.items()
        },
    )


def show(found: dict, options, core: float, stored: float, view_size: int) -> None:
    """Prints the tables.

    Args:
      found: machine -> what `scaling.predict` returns.
      options: of the command line.
      core: images a second that one core decodes.
      stored: bytes of an image in a shard.
      view_size: pixels a side.
    """
    chips = list(next(iter(found.values()))["sums"])
    batch, shared = options.batch_per_chip, options.global_batch
    kinds = ("flops", "memory", "search", "chip")
    _table(
        f"One chip, {batch} images: ms of the FLOPs, of memory, of the search, in all",
        ("FLOPs", "memory", "search", "step", "images/s"),
        {
            name: [
                *(_pair([1e3 * end[k] for end in row["parts"]], ".0f") for k in kinds),
                _pair(row["images_per_second_chip"], ",.0f"),
            ]
            for name, row in found.items()
        },
    )
    for title, kind in (("gradient's all-reduce", "gradient"), ("small ones", "small")):
        rows = {
            name: [f"{1e3 * sums[kind]:.2f}" for sums in row["sums"].values()]
            for name, row in found.items()
        }
        _table(f"The {title}, ms, on so many chips", chips, rows)
    for title, kind in (
        (f"Weak scaling, {batch} images a chip: efficiency, %", "weak"),
        (f"Strong scaling, {shared} images in all: efficiency, %", "strong"),
    ):
        rows = {
            name: [_percent(ends) for ends in row[kind].values()]
            for name, row in found.items()
        }
        _table(title, chips, rows)
    fed = 3 * (view_size * 8 // 7) ** 2  # bytes of a decoded image, uint8
    _table(
        f"A host, at {core:.0f} decoded images/s a core, {stored / 1e3:.0f} kB stored",
        ("images/s", "cores", "threads it has", "MB/s read", "GB/s decoded"),
        {
            name: [
                _pair(row["host_images_per_second"], ",.0f"),
                _pair(row["host_cores"], ".0f"),
                f"{row['host_threads']}",
                _pair(
                    [x * stored / 1e6 for x in row["host_images_per_second"]], ",.0f"
                ),
                _pair([x * fed / 1e9 for x in row["host_images_per_second"]], ".1f"),
            ]
            for name, row in found.items()
        },
    )
    _table(
        f"{options.epochs} epochs of {options.images:,.0f} images on {options.chips} "
        f"chips; the paper's: {_PAPER_HOURS:,} A100-hours",
        ("hours", "chip-hours", "the paper's hours over these"),
        {
            name: [
                _pair(row["hours"], ".1f"),
                _pair(row["chip_hours"], ".0f"),
                _pair([_PAPER_HOURS / each for each in row["chip_hours"]], ".0f"),
            ]
            for name, row in found.items()
        },
    )


def _collectives(found: dict) -> str:
    kinds = ", ".join(f"{count} {name}" for name, count in found["kinds"].items())
    large, small = found["large_bytes"] / 1e6, found["small_bytes"] / 1e6
    return (
        f"{kinds}: {large:.1f} MB in large, {small:.2f} in {found['num_small']} small"
    )


def _percent(ends) -> str:
    return "-" if None in ends else _pair([100 * end for end in ends], ".0f")


def _pair(ends, form: str) -> str:
    """A range in one cell; one number where both ends print alike."""
    low, high = (format(each, form) for each in sorted(ends))
    return low if low == high else f"{low} to {high}"


def _table(title: str, columns, rows: dict[str, list[str]]) -> None:
    print(f"\n{title}\n\n| |", " | ".join(map(str, columns)), "|")
    print("|---" * (len(columns) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {name} |", " | ".join(cells), "|")
