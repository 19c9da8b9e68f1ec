"""Run folders -> differences, intervals and verdicts."""
