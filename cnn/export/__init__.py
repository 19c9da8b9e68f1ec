"""A trained network as one file that jax alone can run."""

from cnn.export.stablehlo import export_run

__all__ = ["export_run"]
