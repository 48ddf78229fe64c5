"""Values of runs: each file has a `get_config` and says what it reproduces."""
