"""How often a network is right on images that were changed to mislead it."""
