"""Rows of the paper at their real networks and sizes, two steps each; minutes."""

import os
import pathlib
import subprocess
import sys

import pytest
import tiny_finetunes

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "encoder", "more"),
    [
        ("kvasir_seg", "resnet50", ()),
        ("kvasir_seg", "sam_b16", ("--model.head=conv_unet",)),
        ("drive_native", "resnet50", ()),
        ("brain_tumor", "resnet50", ()),
        ("brain_tumor", "vit_b16", ("--model.lora_rank=4",)),
    ],
)
def test_a_row_at_its_real_size(name, encoder, more, tmp_path):
    """On one device, in a process of its own; the batch is cut to what a laptop has."""
    segments = name != "brain_tumor"
    make = tiny_finetunes.squares if segments else tiny_finetunes.bright_and_dark
    data = make(tmp_path / "data", 12)
    words = [name, "--init", f"random:{encoder}", "--data", str(data)]
    words += ["--workdir", str(tmp_path / "run"), "--data.global_batch=2", *more]
    words += ["--train.fixed_steps=2", "--train.num_evaluations=1"]
    words += ["--data.num_workers=0"]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    line = [sys.executable, str(ROOT / "run.py"), "finetune", *words]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "network:" in done.stdout
