"""``python -m soaklib.verify``; the command is :mod:`soaklib.commands.verify`."""

from soaklib.commands.verify import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
