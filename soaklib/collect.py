"""``python -m soaklib.collect``; the command is :mod:`soaklib.evidence.collecting`."""

from soaklib.commands.collect import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
