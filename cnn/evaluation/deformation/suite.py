"""The suite `deformation`: sensitivity of each layer to smooth deformations of the image."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.config.errors import UserError
from cnn.config.fields import Interval
from cnn.config.metric import Metric
from cnn.data import Split
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.deformation.bending import bent, spline_weights
from cnn.evaluation.deformation.section import deformation_section
from cnn.evaluation.feature_maps import feature_maps
from cnn.evaluation.model_under_test import model_under_test, places
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite

LEAST_IMAGES = 2


def measure_deformation(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    images: ExampleCount = 256,
    points: Annotated[int, Interval("[1, 32]")] = 3,
    displacement: Annotated[float, Interval("(0, 1000]")] = 1.0,
) -> Results:
    """Measures the deformation sensitivity of every block of the network.

    After Ruderman et al. (arXiv 1804.04438, 2018): the cosine distance between a layer's feature
    maps of an image and of its deformation, divided by the median cosine distance between its maps
    of two images. 0 is invariant; 1 is as different as another image. Deformations are thin-plate
    splines through displaced control points, see `bending`; compare only results of the same grid
    and displacement.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each batch.
      images: number of examples, evenly spaced over the split; 0: all.
      points: control points per axis.
      displacement: largest displacement of a control point, in pixels.

    Returns:
      {"count", "points", "displacement", "layers": {name: sensitivity, None if the maps of all
      images are equal}, "sensitivity": mean over the layers, None without any}.

    Raises:
      UserError: there are fewer than two images.
    """
    part = run.split(split)
    chosen = places(part, images)
    if len(chosen) < LEAST_IMAGES:
        raise UserError("--suite=deformation: needs at least two images to compare")
    moved, others = _measured_distances(run, part, chosen, points, displacement, progress)
    layers = {name: _sensitivity(moved[name], others[name]) for name in moved}
    known = [value for value in layers.values() if value is not None]
    return {
        "count": len(chosen),
        "points": points,
        "displacement": displacement,
        "layers": layers,
        "sensitivity": float(np.mean(known)) if known else None,
    }


def _measured_distances(
    run: CheckpointedRun,
    part: Split,
    chosen: np.ndarray,
    points: int,
    displacement: float,
    progress: Progress,
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[np.ndarray]]]:
    """Returns per layer and batch the distances to the deformed image and to another image."""
    model = model_under_test(run, part)
    weights = spline_weights(*model.image_shape[:2], points)
    distances = jax.jit(_distances(model.normalize, feature_maps(run.evaluator.model)))
    rows = min(run.evaluator.config.evaluation.batch_size, len(chosen))
    device = run.evaluator.mesh.devices.flat[0]
    variables = jax.device_put(run.variables, device)
    moved: dict[str, list[np.ndarray]] = {}
    others: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(chosen), rows):
        # The last batch is padded with the first images, whose distances are dropped below.
        indices = np.take(chosen, np.arange(start, start + rows), mode="wrap")
        kept = min(rows, len(chosen) - start)
        stored, _ = part.read(indices)
        found = distances(variables, stored, bent(stored, indices, weights, displacement))
        for name, (to_bent, to_other) in jax.device_get(found).items():
            moved.setdefault(name, []).append(to_bent[:kept])
            others.setdefault(name, []).append(to_other[:kept])
        progress.show(start + kept, len(chosen))
    return moved, others


def _distances(normalize: Any, maps: Any) -> Any:
    def distances(variables: Any, images: Array, deformed: Array) -> dict[str, Any]:
        both = jnp.concatenate([normalize(images), normalize(deformed)])
        found = {}
        for name, values in maps(variables, both).items():
            flat = values.reshape(len(values), -1).astype(jnp.float32)
            own, bent_ones = jnp.split(flat, 2)
            found[name] = (
                cosine_distance(own, bent_ones),
                cosine_distance(own, jnp.roll(own, 1, axis=0)),
            )
        return found

    return distances


def cosine_distance(a: Array, b: Array) -> Array:
    """Returns 1 - cosine similarity of the rows of two `[B, N]`, `[B]`; NaN if one is zero."""
    lengths = jnp.linalg.norm(a, axis=1) * jnp.linalg.norm(b, axis=1)
    return 1 - (a * b).sum(1) / lengths


def _sensitivity(moved: list[np.ndarray], others: list[np.ndarray]) -> float | None:
    to_bent, to_other = (np.concatenate(each).astype(np.float64) for each in (moved, others))
    unit = np.nanmedian(to_other) if np.isfinite(to_other).any() else 0.0
    return float(np.nanmean(to_bent) / unit) if unit > 0 else None


SUITE = Suite(
    about="sensitivity of each layer to smooth deformations",
    measure=measure_deformation,
    section=deformation_section,
    signals=frozenset({"image"}),
    metrics=(
        Metric(
            "sensitivity",
            "Deformation sensitivity",
            "deformation",
            "",
            None,
            "mean over the layers",
        ),
    ),
)
