"""Blur pooling: a binomial low-pass filter, then subsampling."""

from math import comb

import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError, did_you_mean
from cnn.ops.convolution import depthwise_conv
from cnn.ops.padding import MODES, FilledPads, Padding, Size, per_axis

DIALECTS = ("adobe", "timm", "composer", "ffcv")
TAPS = (2, 7)


def binomial(taps: int) -> tuple[float, ...]:
    """Returns row `taps - 1` of Pascal's triangle divided by its sum: 3 taps are [1, 2, 1] / 4."""
    return tuple(comb(taps - 1, i) / 2 ** (taps - 1) for i in range(taps))


def blur(x: Array, taps: int, strides: Size, padding: Padding) -> Array:
    """Depthwise binomial filter of 2 to 7 taps an axis at every stride-th position.

    y = subsample(x * (b ⊗ b)), b = `binomial(taps)`, `[B, *spatial, C]` (Zhang, ICML 2019). After
    max(window, 1) it is MaxBlurPool, after conv -> ReLU ConvBlurPool, alone the BlurPool that takes
    an average pool's place.

    What goes by the name differs between implementations; `padding` is one of theirs, or what
    `make_window` takes:

    * `adobe`, the paper's: mirrored, floor((k - 1) / 2) before and ceil((k - 1) / 2) after. Even n
      gives n / 2 outputs. Even k centres output i at 2i + 1/2, odd k at 2i.
    * `timm`: mirrored, (s - 1 + k - 1) // 2 on both sides. As adobe for odd k at stride 2. For even
      k there is an element more in front: centres at 2i - 1/2, and even n gives n / 2 + 1 outputs.
    * `composer`: zeros, k // 2 on both sides, odd k only: the border darkens. It blurs before the
      convolution and leaves out those of fewer than 16 input channels.
    * `ffcv`: zeros, 1 on both sides, k = 3 only. It blurs at stride 1 before a convolution that
      keeps its strides: `blur(x, 3, 1, "ffcv")`, then the strided convolution.

    Args:
      x: the input.
      taps: k.
      strides: s.
      padding: see above.

    Raises:
      UserError: taps outside 2 to 7 or not of the dialect, an unknown dialect, or an input too
        small to mirror.
    """
    if not isinstance(taps, int) or not TAPS[0] <= taps <= TAPS[1]:
        raise UserError(f"blur: taps={taps} is not a number of taps; use 2 to 7")
    ndim = x.ndim - 2
    if isinstance(padding, str) and padding not in MODES:
        padding = _dialect_padding(taps, per_axis(strides, ndim, "strides"), padding)
    return depthwise_conv(x, _kernel(taps, ndim, x), strides, padding)


def _kernel(taps: int, ndim: int, x: Array) -> Array:
    kernel = jnp.ones((), jnp.float32)
    for _ in range(ndim):
        kernel = kernel[..., None] * jnp.asarray(binomial(taps), jnp.float32)
    shape = (*kernel.shape, x.shape[-1])
    return jnp.broadcast_to(kernel[..., None], shape).astype(x.dtype)


def _dialect_padding(taps: int, strides: tuple[int, ...], dialect: str) -> FilledPads:
    if dialect not in DIALECTS:
        allowed = (*DIALECTS, *MODES)
        raise UserError(f"blur: unknown padding '{dialect}': {did_you_mean(dialect, allowed)}")
    if dialect == "ffcv" and taps != 3:
        raise UserError(f"blur: ffcv has 3 taps, not {taps}; use taps=3 or another dialect")
    if dialect == "composer" and taps % 2 == 0:
        raise UserError(f"blur: composer has odd taps only, not {taps}; use 3, 5 or 7")
    if dialect == "timm":
        return FilledPads(tuple(((s + taps - 2) // 2,) * 2 for s in strides), "reflect")
    pads = (((taps - 1) // 2, taps // 2),) * len(strides)
    return FilledPads(pads, "reflect" if dialect == "adobe" else "constant")
