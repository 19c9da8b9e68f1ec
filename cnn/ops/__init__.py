"""Pure functions on arrays: `op(x, window, strides, padding)` with x `[B, *spatial, C]`."""
