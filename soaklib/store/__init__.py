"""What a run leaves on disk: its database, its lock, its bundle, and names of files."""
