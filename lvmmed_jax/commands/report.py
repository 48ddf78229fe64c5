"""`report`: one self-contained HTML page about a run, or comparing several."""

import argparse
import json
import pathlib

_EXAMPLE = """\
example:
  lvmmed report runs/quickstart                       writes runs/quickstart/report.html
  lvmmed report runs/a runs/b --out compare.html      compares two runs
"""


def main(argv: list[str]) -> int:
    """Writes the page and prints its path, with --json also the verdicts.

    Of several runs --json adds the comparison, see `report.compare.summary`.

    Args:
      argv: the arguments after `report`.

    Returns:
      The exit code, 0.

    Raises:
      FileNotFoundError: a work folder has no metrics.jsonl.
      ValueError: a file of a work folder is damaged.
    """
    options = _parser().parse_args(argv)
    # after the options, so that --help does not wait for matplotlib
    from lvmmed_jax.report import compare, page, runs, summary

    all_runs = runs.read(options.workdirs)
    path = options.out or options.workdirs[0] / "report.html"
    page.write(all_runs, path)
    if not options.json:
        print(path)
        return 0
    verdicts = [
        {"workdir": str(run.workdir), **summary.verdict(run)._asdict()}
        for run in all_runs
    ]
    compared = compare.summary(all_runs) if len(all_runs) > 1 else {}
    print(json.dumps({"path": str(path), "runs": verdicts, **compared}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lvmmed report",
        description="Write one self-contained HTML page about a run; of several runs, "
        "a comparison.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "workdirs",
        metavar="WORKDIR",
        nargs="+",
        type=pathlib.Path,
        help="work folder of a run (holds metrics.jsonl)",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=pathlib.Path,
        help="the page (default: report.html in the first WORKDIR)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the path, each run's verdict and a comparison as one JSON object",
    )
    return parser
