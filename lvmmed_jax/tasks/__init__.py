"""Downstream tasks: one file a task, on an encoder that pre-training made."""
