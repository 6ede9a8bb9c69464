"""Where frames come from: a run, a metrics text, a Prometheus server, a request log, an event log."""
