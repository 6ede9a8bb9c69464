"""``python -m soaklib.upstream``: start the mock upstream. ``--help`` tells the options."""

import sys

from soaklib.upstream.server import main

if __name__ == "__main__":
    sys.exit(main())
