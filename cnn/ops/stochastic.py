"""Pooling that is stochastic during training and deterministic in evaluation.

With `train=True` each operator samples with `key`; with `train=False`, `key` may be None.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.config.errors import UserError
from cnn.ops.average import avg_pool
from cnn.ops.max_pool import max_pool
from cnn.ops.padding import Padding, Size, Window, make_window, per_axis
from cnn.ops.precision import widened
from cnn.ops.windows import offsets, take_offset


def stochastic_pool(
    x: Array, window: Size, strides: Size, padding: Padding, *, key: Array | None, train: bool
) -> Array:
    """Samples one element per window in proportion to its value (Zeiler & Fergus, ICLR 2013).

    For each window and channel of `[B, *spatial, C]`, with p_i = a_i / sum_j a_j and a = max(x, 0):

        train: y = x_l, l ~ p        evaluation: y = sum_i p_i x_i = sum a^2 / sum a

    Evaluation is the expectation of training. A window without a positive element gives 0. In
    training the gradient goes to the sampled element.

    Pitfalls: use it after a ReLU, as negative elements are never sampled and carry no gradient.
    Ports divide by zero in all-zero windows, or add an epsilon that changes the probabilities. It
    regularises, so compare arms at equal dropout and augmentation.

    Args:
      x: the input; probabilities are at least float32.
      window: elements per axis.
      strides: between windows.
      padding: see `make_window`; zeros are never sampled.
      key: random key; each window and channel of each example is sampled independently.
      train: whether to sample or to average.
    """
    w = make_window(x, window, strides, padding)
    padded = w.padded(x)
    if train:
        return _sample(padded, w, key)
    size = jax.nn.relu(widened(padded))
    elements = [take_offset(size, w, offset) for offset in offsets(w)]
    total = sum(elements)
    return (sum(e * e for e in elements) / jnp.where(total > 0, total, 1)).astype(x.dtype)


def _sample(padded: Array, window: Window, key: Array) -> Array:
    size = jax.nn.relu(widened(jax.lax.stop_gradient(padded)))
    total = sum(take_offset(size, window, offset) for offset in offsets(window))
    limit = total * _uniform(key, total.shape, total.dtype)
    y = jnp.zeros(total.shape, padded.dtype)
    so_far, done = jnp.zeros_like(total), jnp.zeros(total.shape, bool)
    for offset in offsets(window):
        probable = take_offset(size, window, offset)
        # Every positive element up to the crossing replaces y, so rounding cannot leave it empty.
        y = jnp.where(~done & (probable > 0), take_offset(padded, window, offset), y)
        so_far += probable
        done |= so_far > limit
    return jnp.where(jnp.isnan(total), jnp.nan, y)


def _uniform(key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    # A flat draw gives the same numbers and compiles in a quarter of the time on CPU.
    return jax.random.uniform(key, (math.prod(shape),), dtype).reshape(shape)


def s3_pool(
    x: Array,
    window: Size,
    strides: Size,
    padding: Padding,
    *,
    key: Array | None,
    train: bool,
    grid: Size | None = None,
) -> Array:
    """S3Pool: max pooling with stochastic spatial subsampling (Zhai et al., CVPR 2017).

    z = max(x, window, stride 1). In training, every axis of z is divided into strips of `grid`
    elements, and grid / stride random elements of each are kept, in order: whole rows and columns,
    shared by all examples and channels. In evaluation, z is averaged over windows of the size of
    the stride, which is the expectation of training for grid = strides and approximates it for
    larger grids. An axis of z with n elements becomes ceil(n / stride); the last strip may be
    shorter.

    Pitfalls: the authors' code does not pad z, so its last strip is window - 1 elements short and
    its evaluation windows start half a window early; with SAME padding here, z has the size of x
    and both are regular. Plain subsampling in evaluation has different statistics.

    Args:
      x: `[B, *spatial, C]`.
      window: of the maximum.
      strides: of the subsampling.
      padding: of the maximum, see `make_window`.
      key: random key; to sample per example, map over keys with `jax.vmap`.
      train: whether to sample or to average.
      grid: strip lengths, multiples of the strides; None for the strides. The authors use 16, then
        8.

    Raises:
      UserError: the grid is not a multiple of the strides.
    """
    z = max_pool(x, window, 1, padding)
    sizes = z.shape[1:-1]
    steps = per_axis(strides, len(sizes), "strides")
    strips = per_axis(steps if grid is None else grid, len(sizes), "grid")
    if any(g % s for g, s in zip(strips, steps, strict=True)):
        raise UserError(f"grid: {strips} is not a multiple of the strides {steps}")
    if not train:
        ends = [(0, -n % s) for n, s in zip(sizes, steps, strict=True)]
        return avg_pool(z, steps, steps, ends)
    scores = jnp.split(jax.random.uniform(key, (sum(sizes),)), np.cumsum(sizes)[:-1])
    for axis, (stride, strip) in enumerate(zip(steps, strips, strict=True), start=1):
        z = _take(z, _random_elements(scores[axis - 1], stride, strip), axis)
    return z


def _random_elements(scores: Array, stride: int, strip: int) -> Array:
    """Returns ceil(n / stride) sorted indices into n scores, strip / stride per strip."""
    end = scores.size - scores.size % strip
    starts = jnp.arange(0, end, strip)[:, None]
    ranks = jnp.argsort(scores[:end].reshape(-1, strip))
    rest = jnp.argsort(scores[end:])
    full = starts + jnp.sort(ranks[:, : strip // stride])
    last = end + jnp.sort(rest[: -(-rest.size // stride)])
    return jnp.concatenate([full.reshape(-1), last])


def fractional_max_pool(
    x: Array, sizes: Size, *, key: Array | None, train: bool, overlapping: bool = True
) -> Array:
    """Fractional max pooling to a given output size (Graham, arXiv 1412.6071, 2014).

    Along an axis of n elements and m outputs, output i is the maximum over [b_i, b_(i+1)], or over
    [b_i, b_(i+1) - 1] without overlap, for the paper's pseudo-random sequence

        b_i = floor(a (i + u)) - floor(a u),   a = (n - 1) / m, or n / m without overlap

    with u uniform in [0, 1), whose increments are floor(a) and ceil(a), evenly spread. It is
    computed in integers. There is no window, stride or padding; a pooling ratio r corresponds to
    sizes = floor(n / r) (the paper uses sqrt(2) and the cube root of 2). On ties the gradient goes
    to the first maximum in row-major order, as in `max_pool`.

    Evaluation uses u = 1/2. The paper evaluates with random regions and averages the predictions of
    several passes, i.e. `train=True` with several keys.

    Pitfalls: implementations choose other regions. PyTorch's have a constant size and separate
    positions per channel; TensorFlow shuffles the increments by default, which the paper finds to
    underfit when combined with dropout or augmentation.

    Args:
      x: `[B, *spatial, C]`.
      sizes: output elements per axis.
      key: random key for one u per axis, shared by all examples and channels; to sample per
        example, map over keys with `jax.vmap`.
      train: whether u is random.
      overlapping: whether neighbouring regions share an element, which the paper finds better.

    Raises:
      UserError: the output is too large for regions to advance by at least one element.
    """
    spatial = x.shape[1:-1]
    outputs = per_axis(sizes, len(spatial), "sizes")
    spans = [n - 1 if overlapping and n > 1 else n for n in spatial]
    if any(m > span for m, span in zip(outputs, spans, strict=True)):
        raise UserError(
            f"sizes: {outputs} is too large for fractional max pooling of {spatial} elements "
            f"{'with' if overlapping else 'without'} overlap; use at most {tuple(spans)}"
        )
    u = jax.random.uniform(key, (len(spatial),)) if train else jnp.full(len(spatial), 0.5)
    # With the last axis first, ties go to the first maximum in row-major order.
    for axis in reversed(range(1, x.ndim - 1)):
        n, m, span = spatial[axis - 1], outputs[axis - 1], spans[axis - 1]
        phase = jnp.minimum((u[axis - 1] * span).astype(int), span - 1)
        bounds = (span * jnp.arange(m + 1) + phase) // m - phase // m
        x = _max_between(x, axis, bounds, -(-span // m) + (span < n), int(span == n))
    return x


def _max_between(x: Array, axis: int, bounds: Array, longest: int, excluded: int) -> Array:
    y = None
    for step in range(longest):
        element = _take(x, jnp.minimum(bounds[:-1] + step, bounds[1:] - excluded), axis)
        larger = True if y is None else (element > y) | (element != element)
        y = element if y is None else jnp.where(larger, element, y)
    return y


# With unique indices the gradient needs no atomic additions, so it is deterministic.
_take = partial(jnp.take, unique_indices=True, indices_are_sorted=True, mode="clip")
