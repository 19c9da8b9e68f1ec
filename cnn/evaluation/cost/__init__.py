"""Cost of a network."""
