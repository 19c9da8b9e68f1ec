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

    The hidden layer is four times as wide, all convolutions have biases, and `scale` is learned per
    channel, initialised to 1e-6. V2 (Woo et al., CVPR 2023) has no scale, but global response
    normalisation of the hidden layer.

    Attributes:
      style: of the network.
      drop_rate: of stochastic depth.
      responses: whether the block is that of V2.
    """

    style: Style
    drop_rate: float = 0.0
    responses: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial, C]`."""
        features = x.shape[-1]
        shared = dict(style=self.style, use_bias=True, kernel_init=kernel_init)
        y = Conv(features, 7, groups=features, name="depthwise", **shared)(x)
        y = self.style.make_norm("norm")(y, train)
        y = self.style.activate(Conv(4 * features, 1, name="expand", **shared)(y))
        if self.responses:
            y = GlobalResponseNorm(name="responses")(y)
        y = Conv(features, 1, name="project", **shared)(y)
        if self.responses:
            return x + StochasticDepth(self.drop_rate)(y, train)
        scale = self.param("scale", nn.initializers.constant(1e-6), (features,), jnp.float32)
        return x + StochasticDepth(self.drop_rate)(y * scale.astype(y.dtype), train)


class GlobalResponseNorm(nn.Module):
    """y = scale x n + bias + x, n = |x| / mean |x| (Woo et al. 2023).

    |x| is the Euclidean norm of a channel over all positions, and its mean is over the channels.
    `scale` and `bias` are learned, initialised to 0.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns `[B, *spatial, C]`."""
        scale = self.param("scale", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        wide = x.astype(jnp.float32)
        squares = jnp.square(wide).sum(tuple(range(1, x.ndim - 1)), keepdims=True)
        # The gradient of a root is infinite at zero, so all-zero channels are excluded from it.
        length = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)
        relative = length / (length.mean(-1, keepdims=True) + 1e-6)
        return (wide * (1 + scale * relative) + bias).astype(x.dtype)


class ConvNeXtReduction(nn.Module):
    """Norm and 2x2 convolution, which has stride 2 or is followed by an operator.

    Liu et al. use the strided convolution. There is no activation in either case.

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
