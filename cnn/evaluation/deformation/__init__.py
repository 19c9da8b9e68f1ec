"""Sensitivity of feature maps to small deformations of images."""
