"""The ConvNeXt block and the reduction between its stages."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cnn.layers.conv import Conv
from cnn.layers.downsample import Downsample, before_conv, operator_of
from cnn.layers.stochastic_depth import StochasticDepth
from cnn.layers.style import Style

kernel_init = nn.initializers.truncated_normal(0.02)


class ConvNeXtBlock(nn.Module):
    """x + scale * conv1x1(act(conv1x1(norm(depthwise 7x7(x))))) (Liu et al., CVPR 2022).

    Four times as wide in the middle, biases everywhere, a learned scale per channel from 1e-6 on.

    Attributes:
      style: of the network.
      drop_rate: of stochastic depth.
    """

    style: Style
    drop_rate: float = 0.0

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial, C]`."""
        features = x.shape[-1]
        shared = dict(style=self.style, use_bias=True, kernel_init=kernel_init)
        y = Conv(features, 7, groups=features, name="depthwise", **shared)(x)
        y = self.style.make_norm("norm")(y, train)
        y = self.style.activate(Conv(4 * features, 1, name="expand", **shared)(y))
        y = Conv(features, 1, name="project", **shared)(y)
        scale = self.param("scale", nn.initializers.constant(1e-6), (features,), jnp.float32)
        return x + StochasticDepth(self.drop_rate)(y * scale.astype(y.dtype), train)


class ConvNeXtReduction(nn.Module):
    """Norm and 2x2 convolution, which takes strides 2 or is followed by an operator.

    Liu et al. stride the convolution; there is no activation here in any case.

    Attributes:
      features: of the output.
      operator: of the registry.
      style: of the network.
    """

    features: int
    operator: str
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / 2, features]`."""
        on_conv = operator_of(self.operator).on_conv
        x = self.style.make_norm("norm")(x, train)
        if on_conv:
            x = before_conv(self, self.operator, x, train)
        conv = Conv(
            self.features,
            2,
            self.style,
            strides=2 if on_conv else 1,
            use_bias=True,
            padding="SAME" if not on_conv and self.style.padding in ("torch", "VALID") else None,
            kernel_init=kernel_init,
            name="conv",
        )
        x = conv(x)
        if on_conv:
            return x
        return Downsample(self.operator, 2, self.style, name="downsample")(x, train)[0]
