"""Reconciliation: what client, counters and request log each say of the same calls, and how they differ."""
