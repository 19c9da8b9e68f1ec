"""Convolution layers, and the block that every network is made of."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cnn.layers.style import Style
from cnn.ops.convolution import conv, depthwise_conv
from cnn.ops.padding import Padding, Size, per_axis

# He et al. (ICCV 2015) with the fan-out, as the published ResNets and their ports initialise.
he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")


class Conv(nn.Module):
    """Convolution with parameters `kernel` `[*window, C / groups, features]` and maybe `bias`.

    Attributes:
      features: of the output.
      window: one size for all spatial axes, or one each.
      style: gives the compute dtype and, unless `padding` is set, the padding.
      strides: between outputs.
      dilation: between the kernel's elements.
      groups: of channels; as many as channels makes it depthwise (features equal channels).
      use_bias: whether to add a bias.
      padding: instead of the style's.
      kernel_init: initialiser of the kernel.
    """

    features: int
    window: Size
    style: Style
    strides: Size = 1
    dilation: Size = 1
    groups: int = 1
    use_bias: bool = False
    padding: Padding | None = None
    kernel_init: Callable[..., Array] = he_normal

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolves `[B, *spatial, C]`."""
        size = per_axis(self.window, x.ndim - 2, "window")
        shape = (*size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x, kernel = x.astype(self.style.dtype), kernel.astype(self.style.dtype)
        padding = self.padding or self.style.padding
        if self.groups == x.shape[-1] == self.features > 1 and self.dilation == 1:
            y = depthwise_conv(x, kernel[..., 0, :], self.strides, padding)
        else:
            y = conv(x, kernel, self.strides, padding, dilation=self.dilation, groups=self.groups)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y += bias.astype(y.dtype)
        return y


class ConvBlock(nn.Module):
    """Convolution, norm, activation; the convolution has a bias only where there is no norm.

    Attributes:
      features: of the output.
      window: of the convolution.
      style: norm, activation, padding and dtype.
      strides: of the convolution.
      dilation: of the convolution.
      groups: of the convolution.
      activate: False leaves the activation out, as before the sum of a residual block.
      scale_init: initialiser of the norm's scale.
    """

    features: int
    window: Size
    style: Style
    strides: Size = 1
    dilation: Size = 1
    groups: int = 1
    activate: bool = True
    scale_init: Callable[..., Array] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        x = Conv(
            self.features,
            self.window,
            self.style,
            strides=self.strides,
            dilation=self.dilation,
            groups=self.groups,
            use_bias=self.style.norm == "none",
            name="conv",
        )(x)
        x = self.style.make_norm("norm", self.scale_init)(x, train)
        return self.style.activate(x) if self.activate else x
