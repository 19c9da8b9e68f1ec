"""How often a network is right."""
