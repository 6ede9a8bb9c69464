"""The soak's own mock upstream: a model provider and an MCP server that misbehave on demand.

It stands behind a gateway, so that chaos works with every gateway, and in front of a load where there is none, so that
a newcomer sees streams and sessions in two minutes. It imports nothing else of soaklib. Start it with
``python -m soaklib.upstream``.

================== ==================================================================================
module             noun
================== ==================================================================================
``settings``       the command line as one frozen value
``behaviour``      what it does, as it is set over ``/control``; what befalls the n-th request
``limiter``        requests that a caller may make in a window
``book``           what it was asked and did, and how late it was itself: counts and metrics
``conduct``        one request: waiting, misbehaving, being counted
``openai``         chat completions (also streamed), embeddings, responses, models
``mcp``            streamable HTTP: sessions, the stateless era, ``/rpc``
``rest``           tools over plain HTTP, which a gateway makes tools of
``app`` ``server`` the aiohttp application with ``/control``; listening, signals, exit
================== ==================================================================================
"""
