"""A link to a gateway for an admin under test, and what the admin told."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from soaklib.plan.model import load_plan
from soaklib.targets.admin import Link


class Told:
    """Takes what an admin tells."""

    def __init__(self):
        self.events = []

    def __call__(self, name, detail, *, subject=None, data=None):
        del subject
        self.events.append((name, detail, data))


def shipped(name):
    """Give a plan that is shipped."""
    return load_plan(Path(str(files("soaklib.plan").joinpath(name))))


def link_to(url, plan="mcp.toml", *, tell=None, timeout_s=5.0):
    """Give the link."""
    return Link(
        base_url=url, timeout_s=timeout_s, plan=shipped(plan), run_id="run-1", rps=1.0, tell=tell or Told(),
    )  # fmt: skip
