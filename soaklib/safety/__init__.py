"""What keeps a run from harm: secrets, words and folders of strangers, the way to the gateway, memory."""
