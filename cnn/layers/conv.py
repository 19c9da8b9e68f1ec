"""The convolution layer, and the block of convolution, norm and activation."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.layers.style import Style
from cnn.ops.convolution import conv, depthwise_conv
from cnn.ops.padding import Padding, Size, per_axis

# He et al. (ICCV 2015) in fan-out mode, as in the published ResNets and their ports.
he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "truncated_normal")

ORDERS = ("conv norm act", "conv act norm", "norm act conv")


class Conv(nn.Module):
    """Convolution with parameters `kernel` `[*window, C / groups, features]` and optional `bias`.

    Attributes:
      features: number of output channels.
      window: kernel size, for all spatial axes or per axis.
      style: sets the compute dtype, the dilation and, unless `padding` is set, the padding.
      strides: the output stride.
      groups: number of channel groups; depthwise if equal to the channels and to `features`.
      use_bias: whether to add a bias, initialised to zero.
      padding: overrides the style's.
      kernel_init: kernel initialiser; by default He normal in fan-out mode.
    """

    features: int
    window: Size
    style: Style
    strides: Size = 1
    groups: int = 1
    use_bias: bool = False
    padding: Padding | None = None
    kernel_init: Callable[..., Array] = he_normal

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolves `[B, *spatial, C]` to `[B, *spatial / strides, features]`."""
        size = per_axis(self.window, x.ndim - 2, "window")
        shape = (*size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x, kernel = x.astype(self.style.dtype), kernel.astype(self.style.dtype)
        padding = self.style.padding if self.padding is None else self.padding
        dilation = self.style.dilation
        if self.groups == x.shape[-1] == self.features > 1 and dilation == 1:
            y = depthwise_conv(x, kernel[..., 0, :], self.strides, padding)
        else:
            y = conv(x, kernel, self.strides, padding, dilation=dilation, groups=self.groups)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y += bias.astype(y.dtype)
        return y


class ConvBlock(nn.Module):
    """Convolution, norm and activation.

    Attributes:
      features: number of output channels.
      window: kernel size.
      style: norm, activation, padding and dtype.
      strides: of the convolution.
      groups: of the convolution.
      use_bias: of the convolution; None: only without a norm.
      activate: False omits the activation, as before the sum of a residual block.
      order: one of `ORDERS`; "norm act conv" is pre-activation.
      padding: of the convolution, overrides the style's.
      scale_init: initialiser of the norm's scale.
    """

    features: int
    window: Size
    style: Style
    strides: Size = 1
    groups: int = 1
    use_bias: bool | None = None
    activate: bool = True
    order: str = "conv norm act"
    padding: Padding | None = None
    scale_init: Callable[..., Array] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns `[B, *spatial / strides, features]`."""
        if self.order not in ORDERS:
            raise UserError(f"order: unknown '{self.order}'; allowed: {', '.join(ORDERS)}")
        conv = Conv(
            self.features,
            self.window,
            self.style,
            strides=self.strides,
            groups=self.groups,
            use_bias=self.style.norm == "none" if self.use_bias is None else self.use_bias,
            padding=self.padding,
            name="conv",
        )
        norm = self.style.make_norm("norm", self.scale_init)
        steps = {
            "conv": conv,
            "norm": lambda x: norm(x, train),
            "act": self.style.activate if self.activate else lambda x: x,
        }
        for step in self.order.split():
            x = steps[step](x)
        return x
