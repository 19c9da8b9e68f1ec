"""The RepVGG block: parallel branches in training, fused to a single convolution."""

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

    The last where shapes allow. An operator comes after the activation, at full resolution; one
    that is `on_conv` gives its strides to both convolutions.

    Attributes:
      features: of the output.
      style: of the network.
      operator: where strides are 2.
      strides: 2 where the resolution drops.
      fused: act(conv3x3(x)) with a bias, which computes the same in evaluation; see `fused_block`.
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
    """Returns the padding with which the middle of a 3x3 window is where a 1x1 one stands."""
    if padding not in VALUES:
        return "torch"
    return FilledPads(((1, 1),) * ndim, VALUES[padding]) if strides > 1 else padding


def fused_block(
    params: Mapping[str, Any], stats: Mapping[str, Any], epsilon: float
) -> dict[str, Any]:
    """Returns the parameters of the fused block that computes what a trained one does.

    Each branch is a 3x3 convolution whose kernel is scaled by its norm: the 1x1 one in the middle
    of zeros, the identity likewise.

    Args:
      params: of the block.
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
