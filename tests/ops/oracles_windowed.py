"""References of operators over windows that need what stands outside the input told apart."""

import numpy as np

from tests.ops.oracles import ORACLES, oracle, windows

__all__ = ["ORACLES"]


def _inside(x, window, strides, padding):
    return windows(np.ones_like(x), window, strides, padding) > 0


@oracle
def median_pool(x, window, strides, padding):
    seen = windows(x, window, strides, padding)
    return np.nanmedian(np.where(_inside(x, window, strides, padding), seen, np.nan), axis=-2)


@oracle
def adaptive_blur(x, window, strides, padding, *, logits):
    weights = np.exp(np.asarray(logits, np.float64))
    weights /= weights.sum(-1, keepdims=True)
    seen = windows(x, window, strides, padding)
    y = np.zeros((*seen.shape[:-2], seen.shape[-1]))
    size = x.shape[-1] // logits.shape[-2]
    for channel in range(x.shape[-1]):
        y[..., channel] = (seen[..., channel] * weights[..., channel // size, :]).sum(-1)
    return y
