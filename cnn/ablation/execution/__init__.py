"""Runs of a study: who trains them, where, and what happens when one fails."""
