"""``python -m soaklib.weekly``; the command is :mod:`soaklib.commands.weekly`."""

from soaklib.commands.main import door

__all__ = ["main"]

main = door("weekly")

if __name__ == "__main__":
    raise SystemExit(main())
