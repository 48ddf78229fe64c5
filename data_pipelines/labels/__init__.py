"""Labelled data: layouts, groups, splits, and batches with their truth."""
