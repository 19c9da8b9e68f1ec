"""Complete, locked, typed configuration of a run, as one tree of plain values."""
