"""Weights in and out: files of other projects, and the encoders that we export."""
