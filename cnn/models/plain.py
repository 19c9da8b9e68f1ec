"""The plain block network of the field's first lesson."""

import flax.linen as nn
import jax
from jax import Array

from cnn.layers.conv import ConvBlock
from cnn.layers.norms import BatchNorm


class Plain(nn.Module):
    """(convolution 3x3 -> norm -> ReLU -> downsampling) per stage, pooled, then a linear layer."""

    features: tuple[int, ...]
    num_classes: int
    norm: type
    dropout: float
    dtype: str

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns logits `[B, K]` for images `[B, H, W, C]`."""
        x = x.astype(self.dtype)
        for i, features in enumerate(self.features, 1):
            block = ConvBlock(
                features, (3, 3), 1, "SAME", BatchNorm, jax.nn.relu, self.dtype, name=f"stage{i}"
            )
            x = nn.max_pool(block(x, train), (2, 2), (2, 2))
        x = nn.Dropout(self.dropout, deterministic=not train)(x.astype("float32").mean((1, 2)))
        return nn.Dense(self.num_classes, name="classifier")(x)
