"""Every operator once more: float64, one window at a time, from the formulas alone.

`ORACLES` maps an operator's name to a function of its arguments as NumPy arrays.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np

ORACLES: dict[str, Callable] = {}


def oracle(function: Callable) -> Callable:
    ORACLES[function.__name__] = function
    return function


def _axes(value, ndim):
    return (value,) * ndim if isinstance(value, int) else tuple(value)


def _pads(padding, n, k, s, axis):
    """Elements (before, after) one axis of n elements, and what they are: zero, wrap, mirror."""
    if not isinstance(padding, str):
        return *padding[axis], "zero"
    if padding == "VALID":
        return 0, 0, "zero"
    if padding == "torch":
        return (k - 1) // 2, (k - 1) // 2, "zero"
    outputs = -(-n // s)
    total = max(0, (outputs - 1) * s + k - n)
    kind = {"SAME": "zero", "CIRCULAR": "wrap", "REFLECT": "mirror"}[padding]
    return total // 2, total - total // 2, kind


def _extend(x, axis, before, after, kind, constant):
    n = x.shape[axis]
    rows = []
    for i in range(-before, n + after):
        if 0 <= i < n:
            rows.append(np.take(x, i, axis))
        elif kind == "wrap":
            rows.append(np.take(x, i % n, axis))
        elif kind == "mirror":
            rows.append(np.take(x, -i if i < 0 else 2 * (n - 1) - i, axis))
        else:
            rows.append(np.full_like(np.take(x, 0, axis), constant))
    return np.stack(rows, axis)


def windows(x, window, strides, padding, constant=0.0):
    """All windows `[B, *out, elements of a window, C]` of `[B, *spatial, C]`, row-major."""
    x = np.asarray(x, np.float64)
    ndim = x.ndim - 2
    size, steps = _axes(window, ndim), _axes(strides, ndim)
    spatial = x.shape[1:-1]
    for i, (n, k, s) in enumerate(zip(spatial, size, steps, strict=True)):
        x = _extend(x, i + 1, *_pads(padding, n, k, s, i), constant)
    out = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], size, steps, strict=True)]
    result = np.zeros((x.shape[0], *out, int(np.prod(size)), x.shape[-1]))
    for position in itertools.product(*map(range, out)):
        for e, offset in enumerate(itertools.product(*map(range, size))):
            at = tuple(p * s + o for p, s, o in zip(position, steps, offset, strict=True))
            result[(slice(None), *position, e)] = x[(slice(None), *at)]
    return result


@oracle
def max_pool(x, window, strides, padding):
    return windows(x, window, strides, padding, -np.inf).max(-2)


@oracle
def avg_pool(x, window, strides, padding, *, count_padding=False):
    counted = windows(np.ones_like(x), window, strides, padding, float(count_padding)).sum(-2)
    return windows(x, window, strides, padding).sum(-2) / counted


@oracle
def subsample(x, strides):
    return windows(x, 1, strides, "VALID")[..., 0, :]


@oracle
def conv(x, kernel, strides, padding, *, dilation=1, groups=1):
    kernel = np.asarray(kernel, np.float64)
    ndim = x.ndim - 2
    steps = _axes(dilation, ndim)
    size = kernel.shape[:ndim]
    # A dilated kernel is a larger one with zeros in between.
    full = np.zeros(
        (*((k - 1) * d + 1 for k, d in zip(size, steps, strict=True)), *kernel.shape[-2:])
    )
    full[tuple(slice(None, None, d) for d in steps)] = kernel
    seen = windows(x, full.shape[:ndim], strides, padding)
    flat = full.reshape(-1, *kernel.shape[-2:])
    inputs, features = flat.shape[1], flat.shape[2] // groups
    parts = [
        np.einsum(
            "...ec,ecf->...f",
            seen[..., g * inputs : (g + 1) * inputs],
            flat[..., g * features : (g + 1) * features],
        )
        for g in range(groups)
    ]
    return np.concatenate(parts, -1)


@oracle
def depthwise_conv(x, kernel, strides, padding):
    flat = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
    return np.einsum("...ec,ec->...c", windows(x, kernel.shape[:-1], strides, padding), flat)


@oracle
def blur(x, taps, strides, padding):
    x = np.asarray(x, np.float64)
    ndim = x.ndim - 2
    k, steps = taps, _axes(strides, ndim)
    if padding in ("adobe", "timm"):
        for i, s in enumerate(steps):
            timm = (s - 1 + k - 1) // 2
            pair = (timm, timm) if padding == "timm" else ((k - 1) // 2, -(-(k - 1) // 2))
            x = _extend(x, i + 1, *pair, "mirror", 0.0)
        padding = "VALID"
    elif padding in ("composer", "ffcv"):
        padding = ((k // 2, k // 2),) * ndim
    row = [math.comb(k - 1, i) / 2 ** (k - 1) for i in range(k)]
    weights = np.array([np.prod(w) for w in itertools.product(row, repeat=ndim)])
    return np.einsum("...ec,e->...c", windows(x, k, strides, padding), weights)


@oracle
def split_phases(x, strides, padding):
    return np.moveaxis(windows(x, strides, strides, padding), -2, 0)


@oracle
def space_to_depth(x, strides, padding):
    seen = windows(x, strides, strides, padding)
    return seen.reshape(*seen.shape[:-2], -1)


@oracle
def select_phase(x, strides, padding, *, norm="l2"):
    order = {"l1": 1, "l2": 2, "linf": np.inf}[norm]
    phases = split_phases(x, strides, padding)
    chosen = []
    for b in range(len(x)):
        norms = [np.linalg.norm(phase[b].ravel(), order) for phase in phases]
        chosen.append(phases[int(np.argmax(norms)), b])
    return np.stack(chosen)


@oracle
def take_phase(x, phase, strides, padding):
    phases = split_phases(x, strides, padding)
    if np.ndim(phase) == 1:
        return np.stack([phases[i, b] for b, i in enumerate(phase)])
    return np.einsum("bp,pb...->b...", np.asarray(phase, np.float64), phases)


@oracle
def phase_weights(logits, key, temperature=1.0):
    """Of evaluation, where nothing is drawn."""
    return np.eye(logits.shape[1])[np.argmax(logits, axis=1)]


@oracle
def lip(x, logits, window, strides, padding):
    logits = np.broadcast_to(logits, x.shape)
    weights = np.exp(windows(logits, window, strides, padding, -np.inf))
    return (weights * windows(x, window, strides, padding)).sum(-2) / weights.sum(-2)


@oracle
def soft_pool(x, window, strides, padding):
    return lip(x, x, window, strides, padding)


@oracle
def lp_pool(x, window, strides, padding, *, p):
    return (np.abs(windows(x, window, strides, padding)) ** p).sum(-2) ** (1 / p)


@oracle
def gem_pool(x, window, strides, padding, *, p, eps=1e-6):
    x = np.asarray(x, np.float64)
    powers = np.clip(x, eps, None) ** p
    return avg_pool(powers, window, strides, padding) ** (1 / p)


def _dot(x, kernel, strides, padding):
    ndim = x.ndim - 2
    kernel = np.asarray(kernel, np.float64)
    kernel = kernel.reshape(*kernel.shape[:ndim], -1) * np.ones(x.shape[-1])
    return depthwise_conv(x, kernel, strides, padding)


@oracle
def mixed_pool(x, window, strides, padding, *, share):
    largest, mean = (op(x, window, strides, padding) for op in (max_pool, avg_pool))
    return share * largest + (1 - np.asarray(share)) * mean


@oracle
def gated_pool(x, gate, strides, padding):
    share = 1 / (1 + np.exp(-_dot(x, gate, strides, padding)))
    return mixed_pool(x, gate.shape[: x.ndim - 2], strides, padding, share=share)


@oracle
def tree_pool(x, leaves, gates, strides, padding):
    if len(leaves) == 1:
        return _dot(x, leaves[0], strides, padding)
    # The gates of the left and the right subtree, level by level, and the root.
    left, right, start, width = [], [], 0, len(leaves) // 2
    while width > 1:
        left += gates[start : start + width // 2]
        right += gates[start + width // 2 : start + width]
        start, width = start + width, width // 2
    half = len(leaves) // 2
    share = 1 / (1 + np.exp(-_dot(x, gates[-1], strides, padding)))
    first = tree_pool(x, leaves[:half], left, strides, padding)
    return share * first + (1 - share) * tree_pool(x, leaves[half:], right, strides, padding)


@oracle
def global_avg(x):
    return avg_pool(x, x.shape[1:-1], 1, "VALID").reshape(len(x), -1)


@oracle
def adaptive_avg(x, grid):
    for axis, n in enumerate(x.shape[1:-1], 1):
        ends = [(math.floor(i * n / grid), math.ceil((i + 1) * n / grid)) for i in range(grid)]
        x = np.stack([x.take(range(a, b), axis).mean(axis) for a, b in ends], axis)
    return x


@oracle
def global_max(x):
    return max_pool(x, x.shape[1:-1], 1, "VALID").reshape(len(x), -1)


@oracle
def global_avg_max(x):
    return 0.5 * global_avg(x) + 0.5 * global_max(x)


@oracle
def global_cat_avg_max(x):
    return np.stack([global_avg(x), global_max(x)], 1).reshape(len(x), -1)


@oracle
def global_gem(x, *, p, eps=1e-6):
    return gem_pool(x, x.shape[1:-1], 1, "VALID", p=p, eps=eps).reshape(len(x), -1)


@oracle
def global_log_sum_exp(x, *, r):
    return np.log(global_avg(np.exp(r * np.asarray(x, np.float64)))) / r


def _softmax(scores):
    weights = np.exp(scores)
    return weights / weights.sum()


@oracle
def attention_pool(x, positions, query, key, value, output, *, heads):
    x, result = np.asarray(x, np.float64), []
    for image in x.reshape(len(x), -1, x.shape[-1]):
        tokens = np.concatenate([image.mean(0, keepdims=True), image]) + positions
        q, k, v = (tokens @ kernel + bias for kernel, bias in (query, key, value))
        size = x.shape[-1] // heads
        pooled = []
        for h in range(heads):
            part = slice(h * size, (h + 1) * size)
            weights = _softmax(k[:, part] @ q[0, part] / np.sqrt(size))
            pooled.append(weights @ v[:, part])
        result.append(np.concatenate(pooled) @ output[0] + output[1])
    return np.stack(result)


@oracle
def sim_pool(x, keys, values, query_kernel, key_kernel, *, gamma=None, eps=1e-6):
    flat = (np.asarray(a, np.float64).reshape(len(x), -1, x.shape[-1]) for a in (x, keys, values))
    result = []
    for queries, k, v in zip(*flat, strict=True):
        q = queries.mean(0) @ query_kernel
        weights = _softmax(k @ key_kernel @ q / np.sqrt(x.shape[-1]))
        if gamma is None:
            result.append(weights @ v)
        else:
            result.append((weights @ (v - v.min() + eps) ** gamma) ** (1 / gamma))
    return np.stack(result)


@oracle
def batch_norm(x, scale, bias, epsilon):
    """`[groups, examples, *spatial, C]` -> normalised, mean and biased variance of each group."""
    y, mean, var = np.empty_like(x), *np.empty((2, len(x), x.shape[-1]))
    for place in np.ndindex(mean.shape):
        group, channel = place
        values = x[group, ..., channel]
        mean[place] = values.sum() / values.size
        var[place] = ((values - mean[place]) ** 2).sum() / values.size
        normal = (values - mean[place]) / np.sqrt(var[place] + epsilon)
        y[group, ..., channel] = normal * scale[channel] + bias[channel]
    return y, mean, var
