"""The evidence that a run leaves: texts, database dump, Parquet seal, manifest and bundle, and how each is read."""
