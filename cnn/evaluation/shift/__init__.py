"""Consistency of predictions under shifts."""
