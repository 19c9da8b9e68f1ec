"""Global pooling over all positions: `[B, *spatial, C]` -> `[B, features]`.

All functions compute in float32 (or wider) and return the input's dtype. Invariance to circular
shifts of the feature map does not make the network shift-invariant: padded convolutions leak
position information into the feature map.
"""

import jax
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.ops.precision import clamped, widened
from cnn.ops.weighted import check_power


def global_avg(x: Array) -> Array:
    """Mean over all positions, `[B, C]` (Lin, Chen & Yan, ICLR 2014)."""
    return _positions(x).mean(1).astype(x.dtype)


def adaptive_avg(x: Array, grid: int) -> Array:
    """Mean over each of `grid` cells per axis, `[B, grid, ..., C]`: PyTorch's AdaptiveAvgPool.

    Along an axis of n elements, cell i spans floor(i n / grid) to ceil((i + 1) n / grid). Cells
    overlap if grid does not divide n, and repeat elements if grid exceeds n.
    """
    y = widened(x)
    for axis, n in enumerate(x.shape[1:-1], 1):
        bounds = [(i * n // grid, -(-(i + 1) * n // grid)) for i in range(grid)]
        parts = [jax.lax.slice_in_dim(y, start, end, axis=axis) for start, end in bounds]
        y = jnp.concatenate([part.mean(axis, keepdims=True) for part in parts], axis)
    return y.astype(x.dtype)


def global_max(x: Array) -> Array:
    """Maximum over all positions, `[B, C]` (Oquab et al., CVPR 2015).

    On ties the gradient goes to the first maximum, as in `max_pool`; `jnp.max` splits it.
    """
    return _largest(_positions(x)).astype(x.dtype)


@jax.custom_vjp
def _largest(flat: Array) -> Array:
    return flat.max(1)


def _largest_forward(flat: Array) -> tuple[Array, tuple[Array, Array]]:
    # The index is kept, for the reason given in `max_pool`.
    return flat.max(1), (flat, flat.argmax(1))


def _largest_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array]:
    flat, first = saved
    index = jax.lax.broadcasted_iota(first.dtype, flat.shape, 1)
    return (jnp.where(index == first[:, None], g[:, None], 0),)


_largest.defvjp(_largest_forward, _largest_backward)


def global_avg_max(x: Array) -> Array:
    """(mean + maximum) / 2, `[B, C]`: timm's avgmax. Other implementations sum the two."""
    wide = widened(x)
    return ((global_avg(wide) + global_max(wide)) / 2).astype(x.dtype)


def global_cat_avg_max(x: Array) -> Array:
    """Concatenated mean and maximum, in this order, `[B, 2 C]`: timm's catavgmax."""
    return jnp.concatenate([global_avg(x), global_max(x)], axis=-1)


def global_gem(x: Array, *, p: float | Array, eps: float = 1e-6) -> Array:
    """y = (mean max(x, eps)^p)^(1/p) over all positions, `[B, C]`; see `gem_pool`.

    Raises:
      UserError: p is not positive.
    """
    check_power(p, "gem")
    flat = clamped(_positions(x), eps)
    largest = jax.lax.stop_gradient(flat.max(1))
    mean = ((flat / largest[:, None]) ** p).mean(1)
    return (largest * mean ** (1 / p)).astype(x.dtype)


def global_log_sum_exp(x: Array, *, r: float | Array) -> Array:
    """y = log(mean exp(r x)) / r over all positions, `[B, C]` (Pinheiro & Collobert, CVPR 2015).

    Small r approaches the mean, large r the maximum; timm's LsePlus learns r from 10. A sum in
    place of the mean, as in plain log-sum-exp, would add log(positions) / r, which depends on the
    image size. The maximum is subtracted first, as exp(r x) overflows float32 at r x = 89.

    Args:
      x: the input.
      r: positive; a number, or a scalar array or one value per channel `[C]`.

    Raises:
      UserError: r is not positive.
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
    """CLIP's attention pooling: multi-head attention with the mean as its only query, `[B, F]`.

    t = [mean(x); x] + positions, y = (softmax(q k^T / sqrt(C / heads)) v) W_o + b_o, with q from
    t_0 and k, v from all of t (Radford et al., ICML 2021).

    The mean is also a key and a value, and takes the first position embedding. Embeddings tie the
    network to one image size; other sizes need them interpolated. With zero embeddings the result
    is permutation-invariant.

    Args:
      x: the input `[B, *spatial, C]`.
      positions: embeddings `[1 + number of positions, C]`, row-major.
      query: kernel `[C, C]` and bias `[C]`.
      key: likewise.
      value: likewise.
      output: kernel `[C, F]` and bias `[F]`.
      heads: number of heads; must divide C.

    Raises:
      UserError: heads does not divide C, or the embeddings are for another image size.
    """
    flat = _positions(x)
    count, channels = flat.shape[1:]
    if channels % heads:
        raise UserError(f"attention_pool: {heads} heads do not divide {channels} channels")
    if positions.shape != (count + 1, channels):
        raise UserError(
            f"attention_pool: embeddings {positions.shape} do not fit {count} positions and "
            f"{channels} channels; use the training image size or interpolate them"
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
    """SimPool: single-head attention with the mean as query (Psomas et al., ICCV 2023), `[B, C]`.

    a = softmax((mean(x) W_q) (keys W_k)^T / sqrt(C)), y = sum a_i v_i, without a value projection.
    With gamma, y is a power mean of the values made positive:
    y = (sum a_i (v_i - min v + eps)^gamma)^(1/gamma). The authors use gamma = 2 for convolutional
    networks.

    In the paper, keys and values are x; the authors' code and timm apply one LayerNorm to both, but
    not to the query's input. The minimum is over each image here and in the paper. The authors'
    code takes it over the batch, so features depend on the other examples, and timm over the
    positions of each channel. With gamma, the authors' code returns its heads unmerged.

    Args:
      x: the input `[B, *spatial, C]` of the query.
      keys: of x's shape.
      values: of x's shape.
      query_kernel: `[C, C]`.
      key_kernel: `[C, C]`.
      gamma: positive exponent; None for the weighted mean.
      eps: added to the shifted values, so that they are positive.

    Raises:
      UserError: gamma is not positive.
    """
    if gamma is not None and gamma <= 0:
        raise UserError(f"sim_pool: gamma={gamma} is not positive; use e.g. gamma=2.0")
    q = _positions(x).mean(1, keepdims=True) @ query_kernel
    k, v = _positions(keys) @ key_kernel, _positions(values)
    if gamma is not None:
        least = -_largest(-v.reshape(len(v), -1, 1))
        v = (v - least[:, None] + eps) ** gamma
    pooled = _attend(q[:, None], k[:, None], v[:, None])
    return (pooled if gamma is None else pooled ** (1 / gamma)).astype(x.dtype)


def _positions(x: Array) -> Array:
    """Flattens `[B, *spatial, C]` to `[B, positions, C]`, in float32 or wider."""
    return widened(x).reshape(x.shape[0], -1, x.shape[-1])


def _project(tokens: Array, projection: tuple[Array, Array], heads: int) -> Array:
    """Projects `[B, tokens, C]` to `[B, heads, tokens, C / heads]`."""
    kernel, bias = projection
    y = tokens @ kernel + bias
    return y.reshape(*y.shape[:2], heads, -1).swapaxes(1, 2)


def _attend(q: Array, k: Array, v: Array) -> Array:
    """Attends with one query per head `[B, heads, 1, D]` over `[B, heads, tokens, D]`."""
    scores = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
    return (jax.nn.softmax(scores, axis=-1) @ v).reshape(q.shape[0], -1)
