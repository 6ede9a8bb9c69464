"""A gateway that is not there: every kind says in the same words what kept the answer away."""

import asyncio
import socket

import pytest
from target_links import link_to, shipped

from soaklib.targets import load_target


@pytest.mark.parametrize("plan", ["default_plan.toml", "openai.toml", "mcp.toml", "contextforge.toml"])
def test_a_port_where_nobody_listens_is_told_with_its_cause(plan):
    """Not by the name of the library's error."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]

        async def health():
            link = link_to(f"http://127.0.0.1:{port}", plan)
            async with load_target(shipped(plan).target).admin(link) as admin:
                return await admin.health()

        told = asyncio.run(health())
    assert not told.fit
    assert told.detail.endswith(f"got no answer: cannot connect to 127.0.0.1 port {port}: Connection refused")
