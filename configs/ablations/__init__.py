"""Studies: each file describes arms, seeds and a baseline."""
