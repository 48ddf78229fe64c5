"""`report`: one self-contained HTML page about a run, several runs, or a study."""

import argparse
import json
import pathlib
from typing import Any

_EXAMPLE = """\
example:
  lvmmed report runs/quickstart                       writes runs/quickstart/report.html
  lvmmed report runs/a runs/b --out compare.html      compares two runs
  lvmmed report runs/study                            and its summary.md, summary.csv
"""


def main(argv: list[str]) -> int:
    """Writes the page and prints its path, with --json also the verdicts.

    Of several runs --json adds the comparison, see `report.compare.summary`; of a study
    it has all that summary.csv has.

    Args:
      argv: the arguments after `report`.

    Returns:
      The exit code, 0.

    Raises:
      FileNotFoundError: a work folder has no metrics.jsonl.
      ValueError: a file of a work folder is damaged, a study has no finished run, or
        stands beside others.
    """
    options = _parser().parse_args(argv)
    first, *others = options.workdirs
    path = options.out or first / "report.html"
    studies = [each for each in options.workdirs if (each / "study.json").is_file()]
    if studies and others:
        raise ValueError(
            f"{studies[0]} is a study: report it alone, or some of its runs"
        )
    if options.baseline and not studies:
        raise ValueError("--baseline is for a study; runs are compared with each other")
    told = _study(options, path) if studies else _runs(options, path)
    print(json.dumps({"path": str(path), **told}) if options.json else path)
    return 0


def _runs(options: argparse.Namespace, path: pathlib.Path) -> dict[str, Any]:
    # after the options, so that --help does not wait for matplotlib
    from lvmmed_jax.report import compare, page, runs, summary

    all_runs = runs.read(options.workdirs)
    page.write(page.page(all_runs), path)
    verdicts = [
        {"workdir": str(run.workdir), **summary.verdict(run)._asdict()}
        for run in all_runs
    ]
    compared = compare.summary(all_runs) if len(all_runs) > 1 else {}
    return {"runs": verdicts, **compared}


def _study(options: argparse.Namespace, path: pathlib.Path) -> dict[str, Any]:
    from lvmmed_jax.report import page
    from lvmmed_jax.study import comparison, sheet, tables

    found = comparison.read(options.workdirs[0], options.baseline)
    tables.write(found)
    page.write(sheet.page(found), path)
    return {"missing": found.missing, "results": list(tables.records(found))}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lvmmed report",
        description="Write one self-contained HTML page about a run; of several runs, "
        "a comparison; of a study, its tables too.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "workdirs",
        metavar="WORKDIR",
        nargs="+",
        type=pathlib.Path,
        help="work folder of a run (holds metrics.jsonl) or of a study",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=pathlib.Path,
        help="the page (default: report.html in the first WORKDIR)",
    )
    parser.add_argument(
        "--baseline",
        metavar="VARIANT",
        help="of a study: what others are compared with, or random",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the path, each run's verdict and a comparison as one JSON object",
    )
    return parser
