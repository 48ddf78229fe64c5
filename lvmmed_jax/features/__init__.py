"""Features of images without labels: computed, stored, looked at."""
