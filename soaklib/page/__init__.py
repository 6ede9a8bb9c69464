"""The page of a run: one HTML file that opens offline, the same page live, and the page of several runs."""
