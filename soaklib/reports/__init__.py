"""A run as it is told: its report, the analysis of its metrics, their tables, and its charts by name."""
