"""The commands, one a file and thin; how a command ends, and what the terminal shows."""
