"""Calibration: whether predicted probabilities match observed frequencies."""
