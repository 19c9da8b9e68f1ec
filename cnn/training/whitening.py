"""A first layer that whitens the patches of the training images, as airbench94 (Jordan 2024)."""

from collections.abc import Callable, Mapping

import jax
import numpy as np

from cnn.config.errors import UserError
from cnn.data.split import Split

_PATH = "params/whitening/kernel"
# Added to the eigenvalues, as published.
_EPSILON = 5e-4
_READ = 512


def whitening_kernel(images: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Returns the whitening filters of all patches of images, and their negatives.

    The rows of V diag(1 / sqrt(d + 5e-4)), for the second moments V diag(d) V' of the patches,
    largest d first.

    Args:
      images: float `[N, H, W, C]`, as the network sees them.
      window: height and width of the patches.

    Returns:
      float32 `[*window, C, 2 * height * width * C]`.
    """
    patches = np.lib.stride_tricks.sliding_window_view(images, window, axis=(1, 2))
    flat = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, window[0] * window[1] * images.shape[3])
    moments = flat.T @ flat / len(flat)
    values, vectors = np.linalg.eigh(moments.astype(np.float64))
    # Largest first; an eigenvector's sign is free, here its largest element is positive.
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors *= np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(values))])
    filters = vectors / np.sqrt(values + _EPSILON)
    both = np.concatenate([filters, -filters], axis=1).astype(np.float32)
    return both.reshape(*window, images.shape[3], -1)


def whitened_start(
    split: Split,
    prepare: Callable[[np.ndarray], jax.Array],
    count: int,
    initial: Mapping[str, jax.ShapeDtypeStruct],
) -> dict[str, np.ndarray]:
    """Returns the kernel of the layer `whitening` by path, from the first examples of a split.

    Args:
      split: train.
      prepare: normalises stored examples.
      count: of the examples that are read.
      initial: shapes of all variables by path.

    Raises:
      UserError: the network has no such layer, or one of another width than twice the patch.
    """
    kernel = initial.get(_PATH)
    patch = kernel and int(np.prod(kernel.shape[:-1]))
    if kernel is None or len(kernel.shape) != 4 or kernel.shape[-1] != 2 * patch:
        raise UserError(
            "init_whitening: the network has no layer named whitening with twice as many features "
            "as its patches have values; use model.name=airbench, or leave it out"
        )
    indices = np.arange(min(count, len(split)))
    parts = [
        np.asarray(prepare(split.read(indices[start : start + _READ])[0]))
        for start in range(0, len(indices), _READ)
    ]
    return {_PATH: whitening_kernel(np.concatenate(parts), kernel.shape[:2])}
