"""HTTP: how bodies are read, answers written, and which route does what."""
