"""Visualisation: filters, feature maps, class activation maps."""
