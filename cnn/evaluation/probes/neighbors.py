"""The suite `knn`: classification by the k nearest training examples."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from cnn.config.errors import UserError
from cnn.config.metric import share
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.probes.pooled import pooled_features
from cnn.evaluation.probes.section import probe_section
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite

_BATCH = 256


def measure_knn(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    k: int = 20,
    temperature: float = 0.07,
    train_images: ExampleCount = 0,
) -> Results:
    """Measures the accuracy of weighted k-nearest neighbours on pooled features.

    The classifier is that of Wu et al. (CVPR 2018), with the defaults of DINO (Caron et al., ICCV
    2021).

    Returns:
      {"knn_accuracy", "count", "train_count", "features", "k", "temperature"}.

    Raises:
      UserError: the temperature is not positive, k exceeds the number of training examples, or the
        split is the training split.
    """
    if temperature <= 0:
        raise UserError(f"--suite: temperature={temperature} of 'knn' must be positive")
    train, test = pooled_features(run, split, train_images, progress)
    if k > len(train.labels):
        raise UserError(
            f"--suite: k={k} of 'knn' exceeds the {len(train.labels)} training examples"
        )
    classes = run.evaluator.dataset.num_classes
    predicted = nearest_classes(
        train.features, train.labels, test.features, classes, k, temperature
    )
    return {
        "knn_accuracy": float((predicted == test.labels).mean()),
        "count": len(test.labels),
        "train_count": len(train.labels),
        "features": train.features.shape[1],
        "k": k,
        "temperature": temperature,
    }


def nearest_classes(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    classes: int,
    k: int,
    temperature: float,
) -> np.ndarray:
    """Returns the classes `[M]` with the largest sum of exp(cosine / temperature) of k neighbours.

    Args:
      train: features `[N, F]`.
      labels: of the training examples, `[N]`.
      test: features `[M, F]`.
      classes: K.
      k: number of neighbours, by cosine similarity.
      temperature: of the weights.
    """

    @jax.jit
    def classify(known, classes_of, x):
        similarity, places = jax.lax.top_k(_normalized(x) @ known.T, k)
        weights = jnp.exp((similarity - 1) / temperature)
        votes = jax.nn.one_hot(classes_of[places], classes) * weights[..., None]
        return votes.sum(1).argmax(-1)

    known = _normalized(jnp.asarray(train))
    parts = [test[i : i + _BATCH] for i in range(0, len(test), _BATCH)]
    return np.concatenate([classify(known, jnp.asarray(labels), part) for part in parts])


def _normalized(x: jax.Array) -> jax.Array:
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


SUITE = Suite(
    about="accuracy of k-nearest neighbours on pooled features",
    measure=measure_knn,
    section=partial(probe_section, "k-nearest neighbours", "knn_accuracy"),
    signals=frozenset({"image", "sound"}),
    metrics=(
        share(
            "knn_accuracy", "k-NN accuracy", "k-NN", "of pooled features, cosine similarity", True
        ),
    ),
)
