"""``python -m soaklib.verify``; the command is :mod:`soaklib.evidence.checking`."""

from soaklib.commands.main import door

__all__ = ["main"]

main = door("verify")

if __name__ == "__main__":
    raise SystemExit(main())
