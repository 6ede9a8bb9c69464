"""The commands, one a file, thin: what is asked for in words goes to the library, and what comes back is shown."""
