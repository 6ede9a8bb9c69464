"""The whitepaper of a run: its claims, each with the query that gives it, and the paper that is written from them."""
