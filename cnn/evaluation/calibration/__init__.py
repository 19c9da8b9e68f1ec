"""Do probabilities hold what they say?"""

from cnn.evaluation.calibration.section import section
from cnn.evaluation.calibration.suite import METRICS, measure

__all__ = ["METRICS", "measure", "section"]
