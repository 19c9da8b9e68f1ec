"""Shift equivariance of every layer."""
