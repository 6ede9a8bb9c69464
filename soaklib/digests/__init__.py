"""What of a finished run is small enough to keep for years, and tables of many gateways made of it."""
