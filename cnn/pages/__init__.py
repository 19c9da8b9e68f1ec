"""Pages, tables and charts, for evaluation and studies."""
