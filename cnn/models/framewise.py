"""Image networks on clips: each frame separately, then pooling over the frames."""

import flax.linen as nn
from jax import Array

from cnn.config.errors import UserError
from cnn.layers import Head


class FrameWise(nn.Module):
    """Features of each frame by one network, pooled over time, and a classifier.

    The layers before the pooling do not depend on the order of the frames, so with an
    order-invariant pooling (every head but `flatten` and `attention` with positions) neither do
    the logits.

    Attributes:
      network: frames `[N, H, W, C]` to features `[N, F]`; its batch statistics are those of frames.
      head: features over time `[B, T, F]` to logits.
    """

    network: nn.Module
    head: Head

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]` for clips `[B, T, H, W, C]`.

        Raises:
          UserError: the input is of images.
        """
        if x.ndim != 5:
            raise UserError(
                f"model.temporal_head: pools over the frames of clips, but the data has shape "
                f"{list(x.shape[1:])}; leave it out, or choose a data set of clips"
            )
        frames = x.reshape(-1, *x.shape[2:])
        features = self.network(frames, train)
        return self.head(features.reshape(*x.shape[:2], -1), train)


def frame_wise(network: nn.Module, pooling: str) -> FrameWise:
    """Wraps a network whose last layer is `network.head`, a `Head`.

    Args:
      network: of images.
      pooling: over the frames, an entry of the registry of heads.
    """
    last = network.head
    over_frames = last.clone(pooling=pooling, norm=False, field="model.temporal_head", name="head")
    return FrameWise(network.clone(head=last.clone(num_classes=0)), over_frames)
