"""``python -m soaklib.run``; the command is :mod:`soaklib.commands.run`."""

from soaklib.commands.run import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
