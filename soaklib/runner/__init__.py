"""The only part of soaklib that makes load."""
