"""Weighted and power means over windows, between the average and the maximum.

All functions compute in float32 (or wider) and return the input's dtype. The largest term of a
window is factored out first, so nothing overflows. Constant padding is excluded.
"""

import math
from functools import reduce

import jax
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.ops.padding import Padding, Size, Window, make_pool
from cnn.ops.precision import clamped, widened
from cnn.ops.windows import elements, inside


def lip(x: Array, logits: Array, window: Size, strides: Size, padding: Padding) -> Array:
    """Local importance pooling: a mean with learned weights (Gao, Wang & Wu, ICCV 2019).

    y = sum x_i exp(l_i) / sum exp(l_i) over each window of x `[B, *spatial, C]`. Zero logits give
    average pooling, l = x gives `soft_pool`, and l = 20 x is close to max pooling.

    The paper uses windows of 3, stride 2, padding 1 and l = 12 sigmoid(InstanceNorm(G(x))), with
    the last layer of the network G initialised to zero. In a ResNet-50, G adds 29 % to the
    operations, so compare arms at equal compute. The authors' exp relies on the bounded sigmoid;
    here any logits are safe.

    Args:
      x: the input.
      logits: l, `[B, *spatial, C]`, or `[B, *spatial, 1]` shared by all channels.
      window: elements per axis.
      strides: between windows.
      padding: see `make_window`.
    """
    w = make_pool(x, window, strides, padding)
    scores = elements(widened(logits), w, -jnp.inf)
    # A constant added to all logits of a window changes neither the value nor the gradient.
    largest = jax.lax.stop_gradient(reduce(jnp.maximum, scores))
    weights = [jnp.exp(score - largest) for score in scores]
    values = elements(widened(x), w)
    total = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return (total / sum(weights)).astype(x.dtype)


def soft_pool(x: Array, window: Size, strides: Size, padding: Padding) -> Array:
    """SoftPool: the mean weighted by the softmax of each window of `[B, *spatial, C]`, per channel.

    y = sum x_i exp(x_i) / sum exp(x_i) (Stergiou, Poppe & Kalliatakis, ICCV 2021).

    Pitfalls: the authors' non-CUDA path, copied by others, sums exp over the channels and clamps
    the result at 0 from below, which is a different operator. Their CUDA path does not subtract the
    window's maximum and replaces the NaN that result in half precision by 0.
    """
    return lip(x, x, window, strides, padding)


def lp_pool(x: Array, window: Size, strides: Size, padding: Padding, *, p: float | Array) -> Array:
    """p-norm of each window of `[B, *spatial, C]`: y = (sum |x_i|^p)^(1/p).

    Sermanet, Chintala & LeCun (ICPR 2012), who use Gaussian weights. p = 1 is the sum of |x|, p = 2
    the Euclidean norm, and large p approaches max |x|.

    Pitfalls: like PyTorch's LPPool this is a sum, whereas `gem_pool` is a mean: for a window of K
    elements they differ by K^(1/p). PyTorch raises x rather than |x| to p, which is NaN for
    negative x and odd p, and its gradient in an all-zero window, common after a ReLU, is NaN; here
    it is 0.

    Args:
      x: the input.
      window: elements per axis.
      strides: between windows.
      padding: see `make_window`.
      p: positive; a number, or a scalar array or one value per channel `[C]`.

    Raises:
      UserError: p is not positive.
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
    """Generalised mean of each window of `[B, *spatial, C]`: y = (mean max(x_i, eps)^p)^(1/p).

    Radenović, Tolias & Chum (TPAMI 2018), who pool over all positions (`global_gem`) and learn p,
    initialised to 3. p = 1 is the average of max(x, eps); large p approaches the maximum.

    Pitfalls: elements below eps contribute neither value nor gradient, so use it after a ReLU.
    Computing x^p directly, as other implementations do, overflows in half precision (41^3 exceeds
    float16). Exclude a learned p from weight decay, which pulls it towards 0, where y is undefined.

    Args:
      x: the input.
      window: elements per axis.
      strides: between windows.
      padding: see `make_window`.
      p: positive; a number, or a scalar array or one value per channel `[C]`.
      eps: lower bound of the elements.

    Raises:
      UserError: p is not positive.
    """
    check_power(p, "gem")
    w = make_pool(x, window, strides, padding)
    largest, total = _power_sum(clamped(widened(x), eps), w, p)
    real = inside(x, w)
    count = math.prod(w.size) if real is None else real.sum(0)
    return (largest * (total / count) ** (1 / p)).astype(x.dtype)


def check_power(p: float | Array, name: str) -> None:
    """Raises a `UserError` if p is a number that is not positive; arrays are not checked."""
    if isinstance(p, float | int) and p <= 0:
        raise UserError(f"{name}: p={p} is not positive; use e.g. p=3.0")


def _power_sum(x: Array, window: Window, p: float | Array) -> tuple[Array, Array]:
    """Returns the maximum m of each window of x >= 0, and the sum of (x / m)^p."""
    values = elements(x, window)
    # m cancels in value and gradient; in all-zero windows it is replaced by 1.
    largest = jax.lax.stop_gradient(reduce(jnp.maximum, values))
    largest = jnp.where(largest == 0, 1, largest)
    return largest, sum((value / largest) ** p for value in values)
