"""From medical image files to host batches: NumPy and Grain, no model code."""
