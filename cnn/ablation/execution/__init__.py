"""Executes the runs of a study: workers, clusters and failures."""
