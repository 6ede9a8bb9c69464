"""Arrays and series in, numbers out: no run, no query, no gateway."""
