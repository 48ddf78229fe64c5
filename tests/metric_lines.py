"""Lines of metrics.jsonl as a run that learns writes them."""

import numpy as np


def make_metrics(num_steps=300, seed=0):
    """Lines like the quickstart's: training every 5 steps, evaluation every 50."""
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(0, num_steps + 1, 5):
        done = step / 300
        line = {"step": step, "images": 64 * step, "seconds": 0.34 * step}
        line |= {
            "loss": 23.7 - 6 * done + rng.normal(0, 0.5),
            "loss_no_noise": 22 - 10 * done + rng.normal(0, 0.5),
            "matching_accuracy_noisy": 0.18 + 0.27 * done + rng.normal(0, 0.02),
            "gradient_norm": 2 + rng.gamma(2, 0.3),
            "learning_rate": 3e-3 * 0.5 ** int(done * 5),
            "images_per_second": 190 + rng.normal(0, 5),
            "data_wait_share": 0.02,
        }
        if step % 50 == 0:
            line |= {
                "matching_accuracy": 0.22 + 0.33 * done,
                "retrieval_accuracy": 0.2 + 0.3 * done,
                "embedding_rank": 58 - 27 * done,
                "embedding_std": 0.53 + 0.4 * done,
                "affinity_true": 0.95 - 0.1 * done,
                "affinity_other": 0.72 - 0.7 * done,
                "parameter_norm": 25 + 4 * done,
            }
        lines.append({key: float(value) for key, value in line.items()})
        lines[-1]["step"] = step
    return lines
