"""Studies: each file defines arms, seeds and a baseline."""
