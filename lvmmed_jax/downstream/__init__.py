"""Fine-tuning runs: their data, training, predictions and scores."""
