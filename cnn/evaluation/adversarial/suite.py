"""The suite `adversarial`: accuracy under white-box attacks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.config.fields import Interval
from cnn.config.metric import share
from cnn.data import load_batch
from cnn.evaluation.adversarial.attacks import Attack, fgsm, pgd
from cnn.evaluation.adversarial.section import adversarial_section
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.model_under_test import ModelUnderTest, model_under_test, sample
from cnn.evaluation.suite import ExampleCount, Progress, Results, Suite


def measure_adversarial(
    run: CheckpointedRun,
    split: str,
    progress: Progress,
    *,
    images: ExampleCount = 1000,
    epsilon: Annotated[float, Interval("(0, 255]")] = 8.0,
    steps: int = 20,
) -> Results:
    """Measures accuracy under FGSM and PGD, two white-box attacks; see `attacks`.

    These are upper bounds on the accuracy under the worst perturbation. Vanishing or masked
    gradients raise them, so use them to compare networks, not to claim robustness.

    Args:
      run: the checkpoint.
      split: name of the split.
      progress: called after each batch.
      images: number of examples, evenly spaced over the split; 0: all.
      epsilon: largest change of a pixel, in grey levels of 255.
      steps: of PGD.

    Returns:
      {"count", "epsilon", "steps", and {"accuracy"} for "clean", "fgsm" and "pgd"}.
    """
    model = model_under_test(run, sample(run.split(split), images))
    attacks = {"fgsm": fgsm(model, epsilon), "pgd": pgd(model, epsilon, steps)}
    results: Results = {"epsilon": epsilon, "steps": steps}
    for seen, found in accuracy_under(model, attacks):
        results |= {"count": seen} | {name: {"accuracy": value} for name, value in found.items()}
        progress.show(seen, len(model.feed.split))
        progress.keep(results)
    return results


def accuracy_under(
    model: ModelUnderTest, attacks: Mapping[str, Attack]
) -> Iterator[tuple[int, dict[str, float]]]:
    """Yields the number of examples seen and the accuracy, "clean" and per attack, per batch."""
    outcome = jax.jit(_outcome(model, attacks))
    right: dict[str, int] = {}
    seen = 0
    for batch in model.feed.batches():
        mask = np.asarray(batch["mask"]).astype(bool)
        places = np.arange(seen, seen + len(mask), dtype=np.int32)
        found = jax.device_get(outcome(model.variables, model.feed.arrays, batch, places))
        for name, correct in found.items():
            right[name] = right.get(name, 0) + int(correct[mask].sum())
        seen += int(mask.sum())
        yield seen, {name: total / seen for name, total in right.items()}


def _outcome(
    model: ModelUnderTest, attacks: Mapping[str, Attack]
) -> Callable[..., dict[str, Array]]:
    def outcome(variables: Any, arrays: Any, batch: Any, places: Array) -> dict[str, Array]:
        data = load_batch(arrays, batch)
        images, labels = data["input"].astype(jnp.float32), data["label"]
        moved = {"clean": images} | {
            name: attack(variables, images, labels, places) for name, attack in attacks.items()
        }
        return {
            name: model.logits(variables, model.normalize(x)).argmax(-1) == labels
            for name, x in moved.items()
        }

    return outcome


SUITE = Suite(
    about="accuracy under FGSM and PGD",
    measure=measure_adversarial,
    section=adversarial_section,
    signals=frozenset({"image"}),
    metrics=(
        share("fgsm, accuracy", "Accuracy under FGSM", "FGSM", "Goodfellow et al., ICLR 2015"),
        share("pgd, accuracy", "Accuracy under PGD", "PGD", "L-infinity, Madry et al., ICLR 2018"),
    ),
)
