"""Visualisation of filters, feature maps and class activation maps."""
