"""Command line for importing weights into run folders and exporting checkpoints."""
