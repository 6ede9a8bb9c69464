"""The gateway that soaklib was made for: its answers, routes, health and changes."""
