"""What a soak is to do and when: plan, settings, and what follows from them as pure functions."""
