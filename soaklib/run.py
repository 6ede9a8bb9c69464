"""``python -m soaklib.run``; the command is :mod:`soaklib.commands.run`."""

from soaklib.commands.main import door

__all__ = ["main"]

main = door("run")

if __name__ == "__main__":
    raise SystemExit(main())
