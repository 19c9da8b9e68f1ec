"""Every field of a run; cnn/config/base.py has a line for each. Experiment files change a few."""

from cnn.config.base import get_config

__all__ = ["get_config"]
