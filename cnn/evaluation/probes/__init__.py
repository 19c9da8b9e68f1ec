"""Probes: classification from a network's frozen features, without its own classifier."""
