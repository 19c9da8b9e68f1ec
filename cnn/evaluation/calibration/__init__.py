"""Do probabilities hold what they say?"""

from cnn.evaluation.calibration.section import section
from cnn.evaluation.calibration.suite import measure

__all__ = ["measure", "section"]
