"""Complete, locked, typed configuration: what a run is, in one tree of plain values."""
