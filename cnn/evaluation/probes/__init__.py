"""Probes: classification by a network's frozen features, without its own classifier."""
