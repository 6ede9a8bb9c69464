"""Metrics text to samples: the whole text, and one line of it."""
