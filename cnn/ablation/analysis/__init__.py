"""Run folders -> differences, intervals and verdicts; before there are any, a forecast."""
