"""``python -m soaklib.gateway``: start the reference gateway. ``--help`` tells the options."""

import sys

from soaklib.gateway.server import main

if __name__ == "__main__":
    sys.exit(main())
