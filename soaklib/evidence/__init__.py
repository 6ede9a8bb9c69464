"""The evidence that a run leaves: judged, collected, packed, and checked by who receives it."""
