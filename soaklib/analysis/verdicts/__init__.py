"""What is concluded: criteria, endpoints, the comparison of two runs, the summary."""
