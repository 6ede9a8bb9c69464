"""``python -m soaklib.report``; the command is :mod:`soaklib.commands.report`."""

from soaklib.commands.main import door

__all__ = ["main"]

main = door("report")

if __name__ == "__main__":
    raise SystemExit(main())
