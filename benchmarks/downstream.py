"""Does pre-training help downstream? Three tasks, few and all labels, three seeds.

    python benchmarks/shared_corpus.py $DATA $WORK
    python benchmarks/downstream.py $WORK --encoder runs/shared_corpus

fine-tunes an encoder, that of `configs/shared_corpus.py` whose command stands there,
and its random start on the training parts of $WORK (nuclei: Dice; breast ultrasound,
brain-tumour MRI: accuracy, AUC), tests all on the test parts, and prints a table. What
is done stays in $WORK/downstream: the same command goes on, and --only does a part.

As an outside check on correctness, nuclei with all labels reach a Dice of 0.88 or more.
"""

import argparse
import json
import pathlib
import subprocess
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
LABELS = {"10 %": "10%", "100 %": ""}
NUCLEI_DICE = 0.88


class Task(NamedTuple):
    """A data set and how it is fine-tuned on.

    Attributes:
      task: of `evaluate`.
      config: a shipped one.
      steps: of a run, by how many labels it has.
      overrides: of the config.
      metrics: that the table has.
    """

    task: str
    config: str
    steps: dict[str, int]
    overrides: tuple[str, ...]
    metrics: tuple[str, ...]


_CLASSES = (
    "--data.size=96",
    "--data.global_batch=32",
    "--data.num_workers=0",
    "--model.hidden=()",
    "--optimizer.learning_rate=1e-3",
    "--optimizer.schedule=cosine",
    "--augmentation.flip_probability=0.5",
    "--augmentation.rotation=15",
    "--augmentation.scale=(0.8,1.25)",
    "--augmentation.shift=0.05",
    "--train.num_evaluations=3",
)
TASKS = {
    "nuclei": Task(
        "segmentation",
        "drive_native",
        {"10 %": 400, "100 %": 400},
        (
            "--data.size=128",
            "--data.num_workers=0",
            "--model.decoder_width=8",
            "--train.num_evaluations=1",
        ),
        ("dice",),
    ),
    "breast_ultrasound": Task(
        "classification",
        "brain_tumor",
        {"10 %": 300, "100 %": 300},
        _CLASSES,
        ("accuracy", "auc"),
    ),
    "brain_tumor_mri": Task(
        "classification",
        "brain_tumor",
        {"10 %": 300, "100 %": 900},  # 30 and 9 epochs
        _CLASSES,
        ("accuracy", "auc"),
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Runs what is not done yet; prints the table. 1 where nuclei miss their Dice."""
    options = _parse(argv)
    rows = []
    for name in options.only:
        for labels in options.labels:
            rows += _compare(options, name, labels)
    print(json.dumps({"rows": rows}) if options.json else _table(rows))
    whole = [
        row["value"]
        for row in rows
        if (row["data"], row["labels"]) == ("nuclei", "100 %")
    ]
    return 1 if whole and max(whole) < NUCLEI_DICE else 0


def _compare(options, name: str, labels: str) -> list[dict]:
    """Both starts with every seed, then one paired evaluation."""
    task = TASKS[name]
    folders = {
        start: [_train(options, name, labels, start, seed) for seed in options.seeds]
        for start in ("pretrained", "random")
    }
    words = [*folders["pretrained"], "--task", task.task]
    words += ["--data", options.work / name, "--baseline", *folders["random"]]
    found = json.loads(_run(options, "evaluate", *words, "--json"))
    return [
        {
            "data": name,
            "labels": labels,
            "metric": row["metric"],
            "num_train": row["num_train"],
            **{key: row[key] for key in ("value", "low", "high", "std", "by_seed")},
            "baseline": row["baseline"],
            "difference": row["difference"],
        }
        for row in found["results"]
        if row["metric"] in task.metrics and row["class"] is None
    ]


def _train(options, name, labels, start, seed) -> pathlib.Path:
    """The work folder of a run, which is made or gone on with where it is not done."""
    task = TASKS[name]
    share = LABELS[labels]
    workdir = options.work / "downstream" / name / f"{start}_{share or 'all'}_{seed}"
    init = f"{'random:' if start == 'random' else ''}{options.encoder}"
    words = [task.config, "--init", init, "--data", options.work / name]
    words += ["--workdir", workdir, *task.overrides]
    words += [f"--train.fixed_steps={task.steps[labels]}", *options.more]
    words += [f"--train.seed={seed}", f"--data.labels={share}"]
    _run(options, "finetune", *words)
    return workdir


def _run(options, command: str, *words) -> str:
    """A command of this project; its progress goes to stderr."""
    line = [sys.executable, str(ROOT / "run.py"), command, *map(str, words)]
    print(" ".join(line), file=sys.stderr)
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def _table(rows: list[dict]) -> str:
    """In per cent: mean ± standard deviation over seeds, and the paired difference."""
    lines = [
        "| data | labels | images | metric | random start | pretrained | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = (100 * row["difference"][key] for key in ("low", "high"))
        lines.append(
            f"| {row['data'].replace('_', ' ')} | {row['labels']} "
            f"| {row['num_train'][0]} | {row['metric']} "
            f"| {_spread(row['baseline'])} | {_spread(row)} "
            f"| {100 * row['difference']['value']:+.1f} [{low:+.1f}, {high:+.1f}] |"
        )
    return "\n".join(lines)


def _spread(row: dict) -> str:
    """In per cent."""
    value = f"{100 * row['value']:.1f}"
    return value if row["std"] is None else f"{value} ± {100 * row['std']:.1f}"


def _parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=pathlib.Path, help="made by shared_corpus.py")
    parser.add_argument("--encoder", required=True, help="a work folder of `pretrain`")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--labels", nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", action="store_true", help="print JSON")
    options, options.more = parser.parse_known_args(argv)
    return options


if __name__ == "__main__":
    sys.exit(main())
