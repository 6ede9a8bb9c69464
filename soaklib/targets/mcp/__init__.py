"""Gateways and servers that speak MCP over streamable HTTP: ContextForge, FastMCP, any other.

======================= ====================================================================
module                  noun
======================= ====================================================================
``options``             what a plan's ``[target]`` table may hold
``templates``           the requests: ``tools/call`` and others, of both eras and of ``/rpc``
``readers``             answers as JSON and as events
``denials``             what errors, ``isError`` and statuses say; nearly all of it inside a 200
``sessions``            how long a session is kept, and the book of all that were opened
``handshakes``          sessions at the server: opened, with the revision that is agreed, and ended
``meanings``            what ContextForge's metrics mean
``contextforge``        who may make its tokens, and the tokens that are made
======================= ====================================================================
"""

from soaklib.targets.mcp.target import McpTarget

__all__ = ["McpTarget"]
