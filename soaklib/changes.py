"""``python -m soaklib.changes``; the command is :mod:`soaklib.commands.changes`."""

from soaklib.commands.changes import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
