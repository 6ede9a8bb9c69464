"""What a gateway is to soaklib: one folder for each kind."""
