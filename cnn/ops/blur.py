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


def blur(x: Array, taps: Size, strides: Size, padding: Padding) -> Array:
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
      taps: k, of all axes or of each; 1 leaves an axis of a list alone.
      strides: s.
      padding: see above.

    Raises:
      UserError: taps outside 2 to 7 or not of the dialect, an unknown dialect, or an input too
        small to mirror.
    """
    most = max(taps) if isinstance(taps, tuple) else taps
    if not isinstance(most, int) or not TAPS[0] <= most <= TAPS[1]:
        raise UserError(f"blur: taps={most} is not a number of taps; use 2 to 7")
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
        raise UserError(f"blur: ffcv has 3 taps, not {most}; use taps=3 or another padding")
    if dialect == "composer" and most % 2 == 0:
        raise UserError(f"blur: composer needs an odd number of taps, not {most}; use 3, 5 or 7")
    if dialect == "timm":
        pads = tuple(((s + k - 2) // 2,) * 2 for k, s in zip(taps, strides, strict=True))
        return FilledPads(pads, "reflect")
    pads = tuple(((k - 1) // 2, k // 2) for k in taps)
    return FilledPads(pads, "reflect" if dialect == "adobe" else "constant")
