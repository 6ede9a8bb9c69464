"""A run or a frame in, a frame by window out: rates, latency, breakers, budget, metrics, changes and marks."""
