"""Exports a trained network to a file that needs only jax to run."""

from cnn.export.stablehlo import export_run

__all__ = ["export_run"]
