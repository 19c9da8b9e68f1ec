"""Pure functions of arrays: `op(x, window, strides, padding)` on `[B, *spatial, C]`."""
