"""``python -m soaklib.weekly``; the command is :mod:`soaklib.commands.weekly`."""

from soaklib.commands.weekly import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
