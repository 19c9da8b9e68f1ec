"""What noise, blur, weather and digital faults cost."""

from cnn.evaluation.corruption.section import section
from cnn.evaluation.corruption.suite import METRICS, measure

__all__ = ["METRICS", "measure", "section"]
