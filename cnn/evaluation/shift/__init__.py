"""How a network's answers change when its images move."""

from cnn.evaluation.shift.section import section
from cnn.evaluation.shift.suite import METRICS, measure

__all__ = ["METRICS", "measure", "section"]
