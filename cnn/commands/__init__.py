"""What a user starts: train, eval and ablate; flags to calls, and no logic."""
