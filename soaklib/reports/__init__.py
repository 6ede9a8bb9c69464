"""The texts of a run: its report, the analysis of its metrics, and their tables."""
