"""Weighted and power means of windows: between the average and the maximum.

All compute in float32 (or wider) and return the input's dtype. The largest term of a window is
factored out first, so nothing overflows. Padding with constants has no weight.
"""

import math
from functools import reduce

import jax
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.ops.padding import Padding, Size, Window, make_pool
from cnn.ops.precision import widened
from cnn.ops.windows import elements, inside


def lip(x: Array, logits: Array, window: Size, strides: Size, padding: Padding) -> Array:
    """Local importance pooling: the mean weighted by what a network calls important.

    y = sum x_i exp(l_i) / sum exp(l_i) over the window (Gao, Wang & Wu, ICCV 2019), `[B, *spatial,
    C]`. Logits 0 make it the average, logits x `soft_pool`, logits 20 x nearly the maximum.

    Theirs: window 3, strides 2, padding 1; l = 12 sigmoid(InstanceNorm(G(x))), the last layer
    initialised to zero; G costs 29 % more operations in a ResNet-50, so compare at equal cost.
    Their exp is bounded by the sigmoid alone; here it is safe for any logits.

    Args:
      x: the input.
      logits: `[B, *spatial, C]`, or with 1 channel for all.
      window: elements an axis.
      strides: between windows.
      padding: see `make_window`.
    """
    w = make_pool(x, window, strides, padding)
    scores = elements(widened(logits), w, -jnp.inf)
    # Adding the same to all logits changes nothing, so neither does its gradient.
    largest = jax.lax.stop_gradient(reduce(jnp.maximum, scores))
    weights = [jnp.exp(score - largest) for score in scores]
    values = elements(widened(x), w)
    total = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return (total / sum(weights)).astype(x.dtype)


def soft_pool(x: Array, window: Size, strides: Size, padding: Padding) -> Array:
    """Mean weighted by softmax of the window itself, each channel alone, `[B, *spatial, C]`.

    y = sum x_i exp(x_i) / sum exp(x_i) (Stergiou, Poppe & Kalliatakis, ICCV 2021).

    The authors' path without CUDA, copied by others, sums exp over the channels and clamps the
    result to 0 from below, which is another operator. Their CUDA path replaces NaN, which exp
    without the window's maximum subtracted makes in half precision, by 0.
    """
    return lip(x, x, window, strides, padding)


def lp_pool(x: Array, window: Size, strides: Size, padding: Padding, *, p: float | Array) -> Array:
    """p-norm of each window: y = (sum |x_i|^p)^(1/p), `[B, *spatial, C]`.

    Sermanet, Chintala & LeCun, ICPR 2012, there with Gaussian weights. p = 1 sums, p = 2 is the
    root of the energy, large p the largest |x|.

    It sums as PyTorch's LPPool does, where `gem_pool` takes the mean: for a window of K they differ
    by K^(1/p). PyTorch raises x itself to p, which is NaN for negative x and odd p; and its
    gradient in a window of zeros, common after a ReLU, is NaN where it is 0 here.

    Args:
      x: the input.
      window: elements an axis.
      strides: between windows.
      padding: see `make_window`.
      p: above 0, a number or an array of one number or of one a channel.

    Raises:
      UserError: p of 0 or below.
    """
    check_power(p, "lp")
    w = make_pool(x, window, strides, padding)
    largest, total = _power_sum(jnp.abs(widened(x)), w, p)
    empty = total == 0
    y = largest * jnp.where(empty, 1, total) ** (1 / p)
    return jnp.where(empty, 0, y).astype(x.dtype)


def gem_pool(
    x: Array,
    window: Size,
    strides: Size,
    padding: Padding,
    *,
    p: float | Array,
    eps: float = 1e-6,
) -> Array:
    """Generalised mean of each window: y = (mean max(x_i, eps)^p)^(1/p), `[B, *spatial, C]`.

    Radenović, Tolias & Chum, TPAMI 2018, there over all positions (`global_gem`), p learned from 3.
    p = 1 is the average of max(x, eps), large p the maximum.

    It clamps: below eps there is neither value nor gradient, so use it after a ReLU. x^p, as
    others compute it, overflows in half precision: 41^3 is no float16. A learned p wants no weight
    decay, which pulls it to 0, where the formula ends.

    Args:
      x: the input.
      window: elements an axis.
      strides: between windows.
      padding: see `make_window`; the mean is of the elements inside the input.
      p: above 0, a number or an array of one number or of one a channel.
      eps: see above.

    Raises:
      UserError: p of 0 or below.
    """
    check_power(p, "gem")
    w = make_pool(x, window, strides, padding)
    largest, total = _power_sum(jnp.maximum(widened(x), eps), w, p)
    real = inside(x, w)
    count = math.prod(w.size) if real is None else real.sum(0)
    return (largest * (total / count) ** (1 / p)).astype(x.dtype)


def check_power(p: float | Array, name: str) -> None:
    """Raises a `UserError` for a number p of 0 or below; a learned p cannot be looked at."""
    if isinstance(p, float | int) and p <= 0:
        raise UserError(f"{name}: p={p} is not positive; use e.g. p=3.0")


def _power_sum(x: Array, window: Window, p: float | Array) -> tuple[Array, Array]:
    """Returns the largest m of each window of x >= 0, and the sum of (x / m)^p."""
    values = elements(x, window)
    # The factor cancels in value and gradient. Where all is zero any will do.
    largest = jax.lax.stop_gradient(reduce(jnp.maximum, values))
    largest = jnp.where(largest == 0, 1, largest)
    return largest, sum((value / largest) ** p for value in values)
