"""``python -m soaklib.verify``; the command is :mod:`soaklib.evidence.checking`."""

from soaklib.commands.verify import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
