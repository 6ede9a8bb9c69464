"""``python -m soaklib.report``; the command is :mod:`soaklib.commands.report`."""

from soaklib.commands.report import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
