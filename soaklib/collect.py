"""``python -m soaklib.collect``; the command is :mod:`soaklib.evidence.collecting`."""

from soaklib.commands.main import door

__all__ = ["main"]

main = door("collect")

if __name__ == "__main__":
    raise SystemExit(main())
