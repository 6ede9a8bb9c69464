"""``python -m soaklib`` is the command ``soaklib``."""

import sys

from soaklib.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
