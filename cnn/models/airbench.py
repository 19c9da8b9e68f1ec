"""The airbench94 network for CIFAR-10."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from ml_collections import ConfigDict

from cnn.layers import Conv, Downsample, Head, Style, before_conv, operator_of
from cnn.models.registry import MODELS, Network, check_stages, style_of

_default_of_torch = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def partial_identity(key: Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> Array:
    """Returns a kernel `[*window, C, features]` that passes its input through.

    The first features are the C input channels (Dirac kernels), as many as there are; the others
    are uniform within 1 / sqrt(fan-in), the default of `torch.nn.Conv2d`. After airbench94.
    """
    kernel = _default_of_torch(key, shape, dtype)
    *window, channels, features = shape
    passed = min(channels, features)
    centre = tuple(size // 2 for size in window)
    kernel = kernel.at[..., :passed].set(0)
    return kernel.at[(*centre, jnp.arange(passed), jnp.arange(passed))].set(1)


class Airbench(nn.Module):
    """A 2x2 convolution, then stages of 3x3 convolutions whose first is reduced before its norm.

    After airbench94 of Jordan (2024): widths, order, initialisation and head are its own. Its first
    layer is frozen at the whitening of the training images, and its norms learn no scale;
    `configs/airbench.py` has both.

    Attributes:
      features: width of each stage.
      depths: convolutions of each stage.
      downsample: operator after the first convolution of each stage.
      head: the classifier.
      style: of the network.
    """

    features: tuple[int, ...]
    depths: tuple[int, ...]
    downsample: str
    head: Head
    style: Style

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for images `[B, *spatial, C]`."""
        style, patch = self.style, 4 * x.shape[-1]
        padding = None if style.padding == "CIRCULAR" else "VALID"
        x = Conv(2 * patch, 2, style, use_bias=True, padding=padding, name="whitening")(x)
        x = style.activate(x)
        for stage, (features, depth) in enumerate(zip(self.features, self.depths, strict=True), 1):
            for i in range(1, depth + 1):
                x = self._block(x, train, features, f"stage{stage}_%s{i}", style, reduces=i == 1)
                if i == 1 and operator_of(self.downsample).dilates:
                    style = style.dilated(2)
        return self.head(x, train)

    def _block(
        self, x: Array, train: bool, features: int, name: str, style: Style, reduces: bool
    ) -> Array:
        on_conv = reduces and operator_of(self.downsample).on_conv
        if on_conv:
            x = before_conv(self, self.downsample, x, train)
        strides = 2 if on_conv else 1
        x = Conv(
            features, 3, style, strides=strides, kernel_init=partial_identity, name=name % "conv"
        )(x)
        if reduces and not on_conv:
            x, _ = Downsample(self.downsample, 2, style, name=name % "downsample")(x, train)
        return style.activate(style.make_norm(name % "norm")(x, train))


def _build(model: ConfigDict, num_classes: int) -> Airbench:
    check_stages(model)
    style = style_of(model)
    head = Head(
        model.head,
        num_classes,
        style,
        model.dropout,
        scale=1 / 9,
        use_bias=False,
        kernel_init=_default_of_torch,
        name="head",
    )
    return Airbench(tuple(model.features), tuple(model.depths), model.downsample, head, style)


MODELS.add(
    "airbench",
    Network(
        build=_build,
        about="after airbench94, Jordan 2024: the reduction comes before norm and activation",
        published={
            "features": (64, 256, 256),
            "depths": (2, 2, 2),
            "downsample": "max",
            "head": "max",
            "activation": "gelu",
        },
        reads=frozenset({"features", "depths", "downsample"}),
    ),
)
