"""From a run, a metrics text or a server to frames, statistics and verdicts."""
