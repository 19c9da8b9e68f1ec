"""How a network's answers change when its images move."""

from cnn.evaluation.shift.section import section
from cnn.evaluation.shift.suite import measure

__all__ = ["measure", "section"]
