"""Studies: a grid of pre-training runs, how each is measured, and what came out."""
