"""``python -m soaklib.changes``; the command is :mod:`soaklib.commands.changes`."""

from soaklib.commands.main import door

__all__ = ["main"]

main = door("changes")

if __name__ == "__main__":
    raise SystemExit(main())
