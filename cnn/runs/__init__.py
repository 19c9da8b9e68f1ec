"""Run folders compared: their progress, metrics and differences."""

from cnn.runs.summary import RunSummary, find_runs, summarize_run

__all__ = ["RunSummary", "find_runs", "summarize_run"]
