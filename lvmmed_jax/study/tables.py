"""A study's numbers as text: a Markdown table, a CSV, cells of the page."""

import csv
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from lvmmed_jax import files, probes
from lvmmed_jax.study import comparison, intervals

ABSENT = "–"
CLEAR = ("▲", "▼")  # above the baseline, below it
_COLUMNS = (
    *("variant", "data", "part", "task", "target", "class", "metric"),
    *("seeds", "mean", "sd", "lowest", "highest"),
    *("baseline", "difference", "seeds_low", "seeds_high", "p"),
    *("images_low", "images_high", "clear"),
)


def mean(cell: comparison.Cell | None) -> str:
    """Mean and standard deviation in percent, e.g. "83.1 ± 0.4 ▲"."""
    if cell is None:
        return ABSENT
    value = f"{100 * cell.spread.mean:.1f}"
    if not math.isnan(cell.spread.sd):
        value += f" ± {100 * cell.spread.sd:.1f}"
    return value + (f" {CLEAR[cell.paired.value < 0]}" if cell.is_clear else "")


def difference(cell: comparison.Cell | None) -> list[str]:
    """Less the baseline in points: over seeds, and over test images."""
    if cell is None or cell.paired is None:
        return []
    paired, lines = cell.paired, []
    if paired.count > 1:
        lines.append(f"{_interval(paired)} seeds")
    else:
        lines.append(f"{_points(paired.value)}, one seed")
    if cell.by_image is not None:
        lines.append(f"{_interval(cell.by_image)} images")
    return lines


def _interval(one: intervals.Paired | probes.Interval) -> str:
    return f"{_points(one.value)} [{_points(one.low)}, {_points(one.high)}]"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def meaning(found: comparison.Comparison) -> list[str]:
    """What the table says and what it cannot, a sentence each."""
    cells = [cell for row in found.cells.values() for cell in row if cell]
    compared = [cell for cell in cells if cell.paired is not None]
    counts = sorted({cell.spread.count for cell in cells})
    few = min((cell.paired.count for cell in compared), default=0)
    said = [
        f"Mean and standard deviation over {_counted(counts)} in percent; below, the "
        f"paired difference from {found.baseline} in points with 95 % intervals: of "
        "Student's t over the seeds (another training on the same data), and of a "
        "bootstrap over the test images (other images for these encoders)."
    ]
    if few > 1:
        said.append(
            f"With {few} seeds the first reaches {intervals.reach(few):.2f} standard "
            "deviations of the differences to each side: a smaller one cannot be told "
            "from none."
        )
    elif compared:
        said.append("One seed says nothing about another training.")
    said.append(
        f"{CLEAR[0]} and {CLEAR[1]} mark differences of which both intervals leave out "
        f"0. There are {len(compared)} comparisons and no correction for their number: "
        f"by chance alone about {len(compared) / 20:.1f} intervals of each kind leave "
        "out 0."
    )
    return said


def _counted(counts: Sequence[int]) -> str:
    if not counts:
        return "no seeds"
    low, high = counts[0], counts[-1]
    number = str(low) if low == high else f"{low} to {high}"
    return f"{number} seed{'' if high == 1 else 's'}"


def markdown(found: comparison.Comparison) -> str:
    """A line a variant, a column a measure; what it means below."""
    head = ["", *found.labels]
    lines = [head, ["---"] * len(head)]
    lines += [[name, *map(mean, cells)] for name, cells in found.cells.items()]
    lines += [[""] * len(head), [f"less {found.baseline}", *[""] * len(found.labels)]]
    for name, cells in found.cells.items():
        if any(map(difference, cells)):
            lines.append([name, *("; ".join(difference(cell)) for cell in cells)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return table + "\n\n" + " ".join(meaning(found)) + "\n"


def write(found: comparison.Comparison) -> list[pathlib.Path]:
    """Writes summary.md and summary.csv into the study's folder; their paths."""
    paths = [found.workdir / f"summary.{end}" for end in ("md", "csv")]
    with files.replacing(paths[0]) as partial:
        partial.write_text(markdown(found), encoding="utf-8")
    with files.replacing(paths[1]) as partial, partial.open("w", newline="") as file:
        table = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(records(found))
    return paths


def records(found: comparison.Comparison) -> Iterator[dict[str, Any]]:
    """All cells as plain values, shares and not percent."""
    for name, cells in found.cells.items():
        for row, cell in zip(found.rows, cells, strict=True):
            if cell is None:
                continue
            yield {
                "variant": name,
                **row.identity,
                "seeds": cell.spread.count,
                "mean": cell.spread.mean,
                "sd": _finite(cell.spread.sd),
                "lowest": cell.spread.low,
                "highest": cell.spread.high,
                **_compared(found.baseline, cell),
            }


def _compared(baseline: str, cell: comparison.Cell) -> dict[str, Any]:
    if cell.paired is None:
        return {}
    paired, image = cell.paired, cell.by_image
    return {
        "baseline": baseline,
        "difference": paired.value,
        "seeds_low": _finite(paired.low),
        "seeds_high": _finite(paired.high),
        "p": _finite(paired.p),
        "images_low": image and image.low,
        "images_high": image and image.high,
        "clear": cell.is_clear,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
