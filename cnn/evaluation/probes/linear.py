"""The suite `linear_probe`: a linear classifier fitted to the features of the training split."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from cnn.config.errors import UserError
from cnn.config.metric import share
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.probes.pooled import pooled_features
from cnn.evaluation.probes.section import probe_section
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite

_EPSILON = 1e-6


def measure_linear_probe(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    l2: float = 1e-3,
    iterations: int = 500,
    train_images: ExampleCount = 0,
) -> Results:
    """Measures the accuracy of multinomial logistic regression on pooled features.

    It is fitted by L-BFGS on the training split, whose mean and standard deviation standardise the
    features. The network is not changed.

    Returns:
      {"linear_probe_accuracy", "train_accuracy", "count", "train_count", "features", "l2",
      "converged"}.

    Raises:
      UserError: l2 is negative, or the split is the training split.
    """
    if l2 < 0:
        raise UserError(f"--suite: l2={l2} of 'linear_probe' must not be negative")
    train, test = pooled_features(run, split, train_images, progress)
    mean, std = train.features.mean(0), train.features.std(0) + _EPSILON
    x, shown = ((part.features - mean) / std for part in (train, test))
    classes = run.evaluator.dataset.num_classes
    kernel, bias, converged = fit_linear(x, train.labels, classes, l2, iterations)

    def accuracy(features: np.ndarray, labels: np.ndarray) -> float:
        return float(((features @ kernel + bias).argmax(-1) == labels).mean())

    return {
        "linear_probe_accuracy": accuracy(shown, test.labels),
        "train_accuracy": accuracy(x, train.labels),
        "count": len(test.labels),
        "train_count": len(train.labels),
        "features": x.shape[1],
        "l2": l2,
        "converged": converged,
    }


def fit_linear(
    x: np.ndarray, labels: np.ndarray, classes: int, l2: float, iterations: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Minimises the mean cross-entropy plus l2 / 2 |kernel|^2.

    Args:
      x: features `[N, F]`.
      labels: `[N]`.
      classes: K.
      l2: weight of the penalty, which excludes the bias.
      iterations: maximum number of L-BFGS iterations.

    Returns:
      kernel `[F, K]`, bias `[K]`, and whether L-BFGS converged.
    """
    x, labels = jnp.asarray(x, jnp.float32), jnp.asarray(labels)
    shape = x.shape[1] + 1, classes

    @jax.jit
    def objective(flat):
        both = flat.reshape(shape)
        kernel, bias = both[:-1], both[-1]
        log_p = jax.nn.log_softmax(x @ kernel + bias)
        loss = -jnp.take_along_axis(log_p, labels[:, None], 1).mean()
        return loss + l2 / 2 * jnp.sum(kernel**2)

    value_and_grad = jax.jit(jax.value_and_grad(objective))

    def at(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_grad(jnp.asarray(flat, jnp.float32))
        return float(value), np.asarray(gradient, np.float64)

    options = {"maxiter": iterations, "gtol": 1e-5, "ftol": 1e-9}
    found = minimize(at, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B", options=options)
    both = np.float32(found.x).reshape(shape)
    return both[:-1], both[-1], bool(found.success)


SUITE = Suite(
    about="accuracy of a linear classifier fitted to pooled features",
    measure=measure_linear_probe,
    section=partial(probe_section, "Linear probe", "linear_probe_accuracy"),
    signals=frozenset({"image", "sound"}),
    metrics=(
        share(
            "linear_probe_accuracy",
            "Linear probe accuracy",
            "linear probe",
            "multinomial logistic regression on pooled features",
        ),
    ),
)
