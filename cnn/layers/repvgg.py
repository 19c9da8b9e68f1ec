"""The RepVGG block: parallel branches in training, fused into one convolution for inference."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np
from jax import Array

from cnn.layers.conv import Conv
from cnn.layers.downsample import Downsample, before_conv, operator_of
from cnn.layers.style import Style
from cnn.ops.padding import VALUES, FilledPads, Padding


class RepBlock(nn.Module):
    """act(norm(conv3x3(x)) + norm(conv1x1(x)) + norm(x)) (Ding et al., CVPR 2021).

    The last term is present if shapes match. An operator follows the activation, at full
    resolution; with an `on_conv` operator, both convolutions are strided.

    Attributes:
      features: number of output channels.
      style: of the network.
      operator: applied where strides are 2.
      strides: 2 where the resolution drops.
      fused: whether the block is act(conv3x3(x)) with a bias, see `fused_block`.
    """

    features: int
    style: Style
    operator: str = "strided_conv"
    strides: int = 1
    fused: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        on_conv = self.strides > 1 and operator_of(self.operator).on_conv
        if on_conv:
            x = before_conv(self, self.operator, x, train)
        strides = self.strides if on_conv else 1
        y = self._summed(x, train, strides)
        if self.strides > 1 and not on_conv:
            down = Downsample(self.operator, self.strides, self.style, name="downsample")
            y, _ = down(y, train)
        return y

    def _summed(self, x: Array, train: bool, strides: int) -> Array:
        style = self.style
        shared = dict(
            strides=strides,
            padding=_centred(style.padding, strides, x.ndim - 2),
            use_bias=self.fused,
            name="conv3",
        )
        y = Conv(self.features, 3, style, **shared)(x)
        if self.fused:
            return style.activate(y)
        y = style.make_norm("norm3")(y, train)
        one = Conv(self.features, 1, style, strides=strides, name="conv1")(x)
        y += style.make_norm("norm1")(one, train)
        if self.strides == 1 and x.shape[-1] == self.features:
            y += style.make_norm("norm")(x, train)
        return style.activate(y)


def _centred(padding: str, strides: int, ndim: int) -> Padding:
    """Returns the padding that aligns the centre of a 3x3 window with a 1x1 window."""
    if padding not in VALUES:
        return "torch"
    return FilledPads(((1, 1),) * ndim, VALUES[padding]) if strides > 1 else padding


def fused_block(
    params: Mapping[str, Any], stats: Mapping[str, Any], epsilon: float
) -> dict[str, Any]:
    """Returns the parameters of the fused block that equals a trained block in evaluation.

    Each branch becomes a 3x3 convolution scaled by its norm; 1x1 kernels and the identity are
    zero-padded to 3x3.

    Args:
      params: of the trained block.
      stats: its "batch_stats".
      epsilon: of the norms.
    """
    kernel, bias = 0.0, 0.0
    for name, branch in (("norm3", "conv3"), ("norm1", "conv1"), ("norm", None)):
        if name not in params:
            continue
        mean, var = (np.asarray(stats[name][key], np.float64) for key in ("mean", "var"))
        scale = np.asarray(params[name]["scale"], np.float64) / np.sqrt(var + epsilon)
        own = np.eye(len(scale))[(None, None)] if branch is None else params[branch]["kernel"]
        own = np.asarray(own, np.float64)
        if own.shape[0] == 1:
            own = np.pad(own, [(1, 1), (1, 1), (0, 0), (0, 0)])
        kernel = kernel + own * scale
        bias = bias + np.asarray(params[name]["bias"], np.float64) - mean * scale
    conv = {"kernel": np.asarray(kernel, np.float32), "bias": np.asarray(bias, np.float32)}
    rest = {name: value for name, value in params.items() if not name.startswith(("conv", "norm"))}
    return rest | {"conv3": conv}
