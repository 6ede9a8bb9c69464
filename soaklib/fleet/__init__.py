"""Many senders, one run: lanes of one schedule, a conductor, clocks held against each other, and the merge."""
