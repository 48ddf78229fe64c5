"""What is in a folder of shards: read back, counted, and shown in one HTML page."""
