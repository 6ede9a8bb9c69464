"""How many examples a property is tried on: all, or for a quick look before a commit a sixth of them."""

import os

IS_GLANCE = "SOAKLIB_GLANCE" in os.environ
"""Whether this is ``scripts/test --fast``; the whole check tries every example."""

_ONE_OF = 6


def examples(count):
    """Give how many of so many examples are tried."""
    return max(count // _ONE_OF, 1) if IS_GLANCE else count
