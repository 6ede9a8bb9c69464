"""Gateways that speak OpenAI's wire: LiteLLM's proxy, and any endpoint that takes chat completions.

======================= ====================================================================
module                  noun
======================= ====================================================================
``options``             what a plan's ``[target]`` table may hold
``templates``           the requests: chat, stream, embed, responses; a tool is a model
``readers``             answers in one piece and as a stream, of chats, embeddings, responses
``denials``             which limit, which key, whose failure: errors by their own words
``meanings``            what LiteLLM's metrics mean
======================= ====================================================================
"""

from soaklib.targets.openai.target import OpenAITarget

__all__ = ["OpenAITarget"]
