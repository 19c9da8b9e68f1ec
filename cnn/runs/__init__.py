"""Run folders side by side: which there are, how far they are, and what differs between them."""

from cnn.runs.summary import RunSummary, find_runs, summarize_run

__all__ = ["RunSummary", "find_runs", "summarize_run"]
