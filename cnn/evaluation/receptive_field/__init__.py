"""Receptive fields: theoretical, from the program, and effective, from gradients."""
