"""Blur pooling: a binomial low-pass filter followed by subsampling."""

from math import comb

import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError, did_you_mean
from cnn.ops.convolution import depthwise_conv
from cnn.ops.padding import MODES, FilledPads, Padding, Size, per_axis

DIALECTS = ("adobe", "timm", "composer", "ffcv")
TAPS = (2, 7)


def binomial(taps: int) -> tuple[float, ...]:
    """Returns row `taps - 1` of Pascal's triangle divided by its sum: [1, 2, 1] / 4 for 3 taps."""
    return tuple(comb(taps - 1, i) / 2 ** (taps - 1) for i in range(taps))


def blur(x: Array, taps: Size, strides: Size, padding: Padding) -> Array:
    """Filters each channel of `[B, *spatial, C]` with a binomial kernel and subsamples.

    y = subsample(x * (b ⊗ b)), b = `binomial(taps)` (Zhang, ICML 2019). After max pooling at
    stride 1 this is MaxBlurPool, after conv -> ReLU it is ConvBlurPool, and on its own it is the
    BlurPool that replaces average pooling.

    Implementations differ in their borders. `padding` names one of the following dialects, or is
    anything that `make_window` accepts (n is the input size, k the taps, s the stride):

    * `adobe`, the paper's code: reflection, floor((k - 1) / 2) before and ceil((k - 1) / 2) after.
      At stride 2, even n gives n / 2 outputs; output i is centred at 2i for odd k and at 2i + 1/2
      for even k.
    * `timm`: reflection, (s - 1 + k - 1) // 2 on both sides. At stride 2 it equals adobe for odd k;
      even k has one more element in front, so outputs are centred at 2i - 1/2 and even n gives
      n / 2 + 1 of them.
    * `composer`: zeros, k // 2 on both sides, odd k only; the borders darken. Composer blurs before
      the convolution and skips convolutions with fewer than 16 input channels.
    * `ffcv`: zeros, 1 on both sides, k = 3 only. ffcv blurs at stride 1, `blur(x, 3, 1, "ffcv")`,
      before a convolution that keeps its strides.

    Args:
      x: the input.
      taps: k, 2 to 7, for all axes or one per axis; 1 in a tuple leaves that axis unfiltered.
      strides: s.
      padding: a dialect, or see `make_window`.

    Raises:
      UserError: taps outside 2 to 7 or not supported by the dialect, an unknown dialect, or an
        input too small to reflect.
    """
    most = max(taps) if isinstance(taps, tuple) else taps
    if not isinstance(most, int) or not TAPS[0] <= most <= TAPS[1]:
        raise UserError(f"blur: taps={most} is out of range; use 2 to 7")
    ndim = x.ndim - 2
    sizes = per_axis(taps, ndim, "taps")
    if isinstance(padding, str) and padding not in MODES:
        padding = _dialect_padding(sizes, per_axis(strides, ndim, "strides"), padding)
    return depthwise_conv(x, _kernel(sizes, x), strides, padding)


def _kernel(taps: tuple[int, ...], x: Array) -> Array:
    kernel = jnp.ones((), jnp.float32)
    for size in taps:
        kernel = kernel[..., None] * jnp.asarray(binomial(size), jnp.float32)
    shape = (*kernel.shape, x.shape[-1])
    return jnp.broadcast_to(kernel[..., None], shape).astype(x.dtype)


def _dialect_padding(taps: tuple[int, ...], strides: tuple[int, ...], dialect: str) -> FilledPads:
    if dialect not in DIALECTS:
        allowed = (*DIALECTS, *MODES)
        raise UserError(f"blur: unknown padding '{dialect}': {did_you_mean(dialect, allowed)}")
    most = max(taps)
    if dialect == "ffcv" and most != 3:
        raise UserError(f"blur: ffcv needs 3 taps, not {most}; use taps=3 or another padding")
    if dialect == "composer" and most % 2 == 0:
        raise UserError(f"blur: composer needs an odd number of taps, not {most}; use 3, 5 or 7")
    if dialect == "timm":
        pads = tuple(((s + k - 2) // 2,) * 2 for k, s in zip(taps, strides, strict=True))
        return FilledPads(pads, "reflect")
    pads = tuple(((k - 1) // 2, k // 2) for k in taps)
    return FilledPads(pads, "reflect" if dialect == "adobe" else "constant")
