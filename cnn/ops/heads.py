"""Global pooling: `[B, *spatial, C]` -> `[B, features]` over all positions.

All compute in float32 (or wider) and return the input's dtype. Each is invariant to circular shifts
of its input and to nothing more: padded convolutions leak position to later layers.
"""

import jax
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.ops.precision import widened
from cnn.ops.weighted import check_power


def global_avg(x: Array) -> Array:
    """Mean over all positions, `[B, C]` (Lin, Chen & Yan, ICLR 2014)."""
    return _positions(x).mean(1).astype(x.dtype)


def adaptive_avg(x: Array, grid: int) -> Array:
    """Means over `grid` parts of each axis, `[B, grid, ..., C]`: PyTorch's AdaptiveAvgPool.

    Part i of n elements reaches from floor(i n / grid) to ceil((i + 1) n / grid), so that parts
    overlap where grid does not divide n, and repeat elements where n is the smaller.
    """
    y = widened(x)
    for axis, n in enumerate(x.shape[1:-1], 1):
        bounds = [(i * n // grid, -(-(i + 1) * n // grid)) for i in range(grid)]
        parts = [jax.lax.slice_in_dim(y, start, end, axis=axis) for start, end in bounds]
        y = jnp.concatenate([part.mean(axis, keepdims=True) for part in parts], axis)
    return y.astype(x.dtype)


def global_max(x: Array) -> Array:
    """Maximum over all positions, `[B, C]` (Oquab et al., CVPR 2015).

    The gradient goes to the first maximum alone, as in `max_pool`; that of `jnp.max` splits ties.
    """
    return _largest(_positions(x)).astype(x.dtype)


@jax.custom_vjp
def _largest(flat: Array) -> Array:
    return flat.max(1)


def _largest_forward(flat: Array) -> tuple[Array, tuple[Array, Array]]:
    y = flat.max(1)
    return y, (flat, y)


def _largest_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array]:
    flat, y = saved
    index = jax.lax.broadcasted_iota(jnp.int32, flat.shape, 1)
    # A NaN is unequal to itself and yet the largest.
    hits = (flat == y[:, None]) | (flat != flat)
    first = jnp.where(hits, index, flat.shape[1]).min(1, keepdims=True)
    return (jnp.where(index == first, g[:, None], 0),)


_largest.defvjp(_largest_forward, _largest_backward)


def global_avg_max(x: Array) -> Array:
    """(mean + maximum) / 2, `[B, C]`: timm's avgmax. Some sum the two, which doubles the scale."""
    wide = widened(x)
    return ((global_avg(wide) + global_max(wide)) / 2).astype(x.dtype)


def global_cat_avg_max(x: Array) -> Array:
    """Mean and maximum side by side, in this order, `[B, 2 C]`: timm's catavgmax."""
    return jnp.concatenate([global_avg(x), global_max(x)], axis=-1)


def global_gem(x: Array, *, p: float | Array, eps: float = 1e-6) -> Array:
    """y = (mean max(x, eps)^p)^(1/p) over all positions, `[B, C]`; see `gem_pool`.

    Raises:
      UserError: p of 0 or below.
    """
    check_power(p, "gem")
    flat = jnp.maximum(_positions(x), eps)
    largest = jax.lax.stop_gradient(flat.max(1))
    mean = ((flat / largest[:, None]) ** p).mean(1)
    return (largest * mean ** (1 / p)).astype(x.dtype)


def global_log_sum_exp(x: Array, *, r: float | Array) -> Array:
    """y = log(mean exp(r x)) / r over all positions, `[B, C]` (Pinheiro & Collobert, CVPR 2015).

    Small r is the mean, large r the maximum; r learned from 10 in timm's LsePlus. With a sum in the
    mean's place, as in the function of that name, y grows by log(positions) / r and with the
    image. The maximum is subtracted first, else exp overflows at r x = 89.

    Args:
      x: the input.
      r: above 0, a number or an array of one number or of one a channel.

    Raises:
      UserError: r of 0 or below.
    """
    if isinstance(r, float | int) and r <= 0:
        raise UserError(f"log_sum_exp: r={r} is not positive; use e.g. r=10.0")
    flat = _positions(x)
    largest = jax.lax.stop_gradient(flat.max(1))
    mean = jnp.exp(r * (flat - largest[:, None])).mean(1)
    return (largest + jnp.log(mean) / r).astype(x.dtype)


def attention_pool(
    x: Array,
    positions: Array,
    query: tuple[Array, Array],
    key: tuple[Array, Array],
    value: tuple[Array, Array],
    output: tuple[Array, Array],
    *,
    heads: int,
) -> Array:
    """CLIP's attention pooling: multi-head attention whose one query is the mean (Radford et al.).

    t = [mean(x); x] + positions, y = (softmax(q k^T / sqrt(C / heads)) v) W_o + b_o with q from t_0
    and k, v from all t (ICML 2021), `[B, features]`.

    The mean is itself a key and a value, and gets the first position. Positions fix the size of the
    image: other sizes need them interpolated. Without positions it is invariant to any order.

    Args:
      x: the input `[B, *spatial, C]`.
      positions: `[1 + number of positions, C]`, row-major.
      query: kernel `[C, C]` and bias `[C]`; so are `key` and `value`.
      key: see query.
      value: see query.
      output: kernel `[C, features]` and bias `[features]`.
      heads: divides C.

    Raises:
      UserError: heads does not divide C, or positions are of another image size.
    """
    flat = _positions(x)
    count, channels = flat.shape[1:]
    if channels % heads:
        raise UserError(f"attention_pool: {heads} heads do not divide {channels} channels")
    if positions.shape != (count + 1, channels):
        raise UserError(
            f"attention_pool: positions {positions.shape} do not fit an input of {count} positions "
            f"and {channels} channels; use the image size of training or interpolate them"
        )
    tokens = jnp.concatenate([flat.mean(1, keepdims=True), flat], axis=1) + positions
    q = _project(tokens[:, :1], query, heads)
    pooled = _attend(q, _project(tokens, key, heads), _project(tokens, value, heads))
    kernel, bias = output
    return (pooled @ kernel + bias).astype(x.dtype)


def sim_pool(
    x: Array,
    keys: Array,
    values: Array,
    query_kernel: Array,
    key_kernel: Array,
    *,
    gamma: float | None = None,
    eps: float = 1e-6,
) -> Array:
    """SimPool: attention of one head, the mean its query, values as they are (Psomas, ICCV 2023).

    a = softmax((mean(x) W_q) (keys W_k)^T / sqrt(C)), y = sum a_i v_i; with gamma the power mean
    y = (sum a_i (v_i - min v + eps)^gamma)^(1/gamma) of the values made positive, `[B, C]`. The
    authors take gamma = 2 for convolutional networks.

    In the paper keys and values are x; the authors' code and timm pass both through one LayerNorm
    first, the query not. The minimum is over an image here as in the paper; over the batch in the
    authors' code, so that an example's features depend on its neighbours; over the positions of
    each channel in timm. And the authors' code with gamma returns its heads unmerged.

    Args:
      x: the input `[B, *spatial, C]`, for the query.
      keys: of x's shape.
      values: of x's shape.
      query_kernel: `[C, C]`.
      key_kernel: `[C, C]`.
      gamma: exponent above 0; None for the plain mean.
      eps: see above.

    Raises:
      UserError: gamma of 0 or below.
    """
    if gamma is not None and gamma <= 0:
        raise UserError(f"sim_pool: gamma={gamma} is not positive; use e.g. gamma=2.0")
    q = _positions(x).mean(1, keepdims=True) @ query_kernel
    k, v = _positions(keys) @ key_kernel, _positions(values)
    if gamma is not None:
        v = (v - v.min((1, 2), keepdims=True) + eps) ** gamma
    pooled = _attend(q[:, None], k[:, None], v[:, None])
    return (pooled if gamma is None else pooled ** (1 / gamma)).astype(x.dtype)


def _positions(x: Array) -> Array:
    """`[B, *spatial, C]` -> `[B, positions, C]`, float32 or wider."""
    return widened(x).reshape(x.shape[0], -1, x.shape[-1])


def _project(tokens: Array, projection: tuple[Array, Array], heads: int) -> Array:
    """`[B, tokens, C]` -> `[B, heads, tokens, C / heads]`."""
    kernel, bias = projection
    y = tokens @ kernel + bias
    return y.reshape(*y.shape[:2], heads, -1).swapaxes(1, 2)


def _attend(q: Array, k: Array, v: Array) -> Array:
    """One query a head `[B, heads, 1, D]` over `[B, heads, tokens, D]` -> `[B, heads * D]`."""
    scores = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
    return (jax.nn.softmax(scores, axis=-1) @ v).reshape(q.shape[0], -1)
