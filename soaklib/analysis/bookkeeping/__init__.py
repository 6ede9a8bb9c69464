"""What :mod:`soaklib.analysis.reconcile` is made of."""
