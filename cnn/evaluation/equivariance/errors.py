"""Distance between the feature map of a shifted image and the shifted feature map, per layer."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.data import load_batch
from cnn.evaluation.feature_maps import Maps
from cnn.evaluation.model_under_test import ModelUnderTest
from cnn.evaluation.shift.moves import fourier_shift, roll


def strides_of(
    model: ModelUnderTest, maps: Callable[[Any, Array], Maps]
) -> tuple[dict[str, int], list[str]]:
    """Returns the output stride of each layer, in pixels, and the names of the layers left out.

    Layers are left out if their map size does not divide the image size by the same factor on both
    axes, since cropped borders shift the map's centre.
    """
    images = jax.ShapeDtypeStruct((1, *model.image_shape), np.float32)
    shapes = jax.eval_shape(maps, model.variables, images)
    sizes = {name: shape.shape[1:3] for name, shape in shapes.items()}
    whole = _dividing(model.image_shape[:2], set(sizes.values()))
    strides = {n: model.image_shape[0] // size[0] for n, size in sizes.items() if size in whole}
    left_out = [name for name in sizes if name not in strides]
    return strides, left_out


def _dividing(image: tuple[int, int], sizes: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Returns the sizes that divide the next larger one, starting with the image.

    Of 28, 14, 7 and 4, the last divides 28 but is made from 7 with padding, so its stride is 8
    pixels.
    """
    found, larger = set(), image
    for size in sorted(sizes, reverse=True):
        factors = {divmod(a, b) for a, b in zip(larger, size, strict=True)}
        if len(factors) == 1 and factors.pop()[1] == 0:
            found.add(size)
            larger = size
    return found


def equivariance_errors(
    model: ModelUnderTest, maps: Callable[[Any, Array], Maps], strides: dict[str, int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Measures ||f(T_d x) - T_{d/S} f(x)|| / ||f(x)|| of each layer f, for d = 1 .. its stride S.

    T_d shifts images circularly by d pixels down and to the right. T_{d/S} shifts the map by the
    same distance using trigonometric interpolation (`fourier_shift`), so for d < S the error
    includes detail that a map of that resolution cannot represent. Norms are over whole maps; the
    ratio is averaged over images, without those whose map is all zero. Borders that are not
    circular add to the error.

    Args:
      model: network and examples.
      maps: `feature_maps` of the network.
      strides: by name of the layers to measure.

    Yields:
      After each batch, the number of examples seen and {name: {"stride": S, "error": [(d, mean),
      ...]}}, where the mean over no images is None.
    """
    errors = make_errors(model, maps, strides)
    furthest = max(strides.values())
    sums = {name: np.zeros((stride, 2)) for name, stride in strides.items()}
    seen = 0
    for batch in model.feed.batches():
        mask = np.asarray(batch["mask"]).astype(bool)
        for d in range(1, furthest + 1):
            found = errors(model.variables, model.feed.arrays, batch, np.int32(d))
            for name, values in jax.device_get(found).items():
                if d <= strides[name]:
                    kept = values[mask & np.isfinite(values)].astype(np.float64)
                    sums[name][d - 1] += kept.sum(), kept.size
        seen += int(mask.sum())
        yield seen, {name: _layer(strides[name], table) for name, table in sums.items()}


def make_errors(
    model: ModelUnderTest, maps: Callable[[Any, Array], Maps], strides: dict[str, int]
) -> Callable[..., dict[str, Array]]:
    """Returns jitted (variables, arrays, batch, d) -> {layer: error per image `[B]`}.

    The error is NaN if the map is all zero.
    """

    def errors(variables: Any, arrays: Any, batch: Any, d: Array) -> dict[str, Array]:
        images = model.normalize(load_batch(arrays, batch)["input"])
        offsets = jnp.full(2, d)
        # One pass for both: batch norm uses its running statistics, so images do not interact.
        together = maps(variables, jnp.concatenate([images, roll(images, offsets)]))
        found = {}
        for name, stride in strides.items():
            still, moved = jnp.split(together[name].astype(jnp.float32), 2)
            expected = fourier_shift(still, offsets / stride)
            found[name] = _norm(moved - expected) / _norm(still)
        return found

    return jax.jit(errors)


def _norm(x: Array) -> Array:
    return jnp.sqrt(jnp.sum(x * x, axis=tuple(range(1, x.ndim))))


def _layer(stride: int, table: np.ndarray) -> dict[str, Any]:
    means = [float(total / count) if count else None for total, count in table]
    return {"stride": stride, "error": list(enumerate(means, start=1))}
