"""`predict`: masks or classes of pictures, by a network that `finetune` made."""

import argparse
import json
import pathlib

from lvmmed_jax import run_options

_EXAMPLE = """example:
  python run.py predict runs/polyps my/images --out masks

Of masks: a PNG a picture, of its name and size, with the values of the masks that were
trained on (255 where there is one class). Of classes: predictions.csv, a line a picture
with the probability of each class. What DIR holds already is left alone. Results have
the names of their pictures, which may name a patient.
"""


def main(argv: list[str]) -> int:
    """Parses, predicts, prints; returns the exit code."""
    arguments = _parse(argv)
    from lvmmed_jax.downstream import predicting, trained
    from lvmmed_jax.train import interruption

    predicting.check_apart(arguments.images, arguments.out)
    pictures = predicting.find(arguments.images)
    network = trained.load(arguments.model, flips=arguments.flips)
    with interruption.goes_on("what is predicted stays"):
        found = predicting.run(network, pictures, arguments.out)
    if arguments.json:
        print(json.dumps(predicting.as_json(found, arguments.out)))
    else:
        print(predicting.text(found, arguments.out))
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lvmmed predict",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a work folder of `finetune`, or a checkpoint")
    parser.add_argument("images", nargs="+", help="pictures, and folders of them")
    parser.add_argument(
        "--out", required=True, type=pathlib.Path, metavar="DIR", help="for the results"
    )
    parser.add_argument(
        "--flips", action="store_true", help="predict the mean over mirror images"
    )
    run_options.add_compile_cache(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(argv)
