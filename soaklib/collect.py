"""``python -m soaklib.collect``; the command is :mod:`soaklib.commands.collect`."""

from soaklib.commands.collect import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
