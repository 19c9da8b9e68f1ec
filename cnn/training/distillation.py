"""Knowledge distillation: a network learns from the predictions of another, besides the labels."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array
from ml_collections import ConfigDict

from cnn import models
from cnn.config.base import FIELDS
from cnn.config.errors import UserError
from cnn.data import SIGNALS, Dataset
from cnn.training.initial import Start, digest_of, tensors_of
from cnn.training.stored_weights import read_weights

_FIELD = "distillation.teacher"


@dataclass(frozen=True)
class Teacher:
    """A frozen teacher network and the weight of its predictions.

    Attributes:
      model: its network.
      variables: of it.
      scale: per channel, what the student's normalised inputs are multiplied by for it.
      shift: and what is added then.
      weight: of the teacher's term in the loss; the labels' term gets the rest.
      temperature: that both networks' logits are divided by.
      source: where it is from.
    """

    model: nn.Module
    variables: dict[str, Any] = field(repr=False)
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    weight: float
    temperature: float
    source: Start

    def answer(self, inputs: Array, variables: Any = None) -> Array:
        """Returns the teacher's logits `[B, K]` for the student's inputs, in evaluation mode.

        Args:
          inputs: float32 `[B, *spatial, C]`, normalised for the student.
          variables: its own as arguments of a jitted function; None: those it holds.
        """
        own = self.variables if variables is None else variables
        if self.scale:
            inputs = inputs * jnp.asarray(self.scale) + jnp.asarray(self.shift)
        return jax.lax.stop_gradient(self.model.apply(own, inputs, train=False))

    def mixed(self, losses: Array, logits: Array, taught: Array) -> Array:
        """Returns (1 - weight) loss + weight T^2 KL(teacher || student) at temperature T, `[B]`.

        Hinton et al. 2015, section 2: T^2 keeps the gradients' size whatever the temperature.
        """
        cold = partial(jnp.multiply, 1 / self.temperature)
        divergence = optax.losses.kl_divergence_with_log_targets(
            jax.nn.log_softmax(cold(logits)), jax.nn.log_softmax(cold(taught))
        )
        return (1 - self.weight) * losses + self.weight * self.temperature**2 * divergence


def make_teacher(config: ConfigDict, dataset: Dataset) -> Teacher | None:
    """Returns the teacher that a config names, None where it names none.

    Args:
      config: of the student.
      dataset: of the student.

    Raises:
      UserError: it is not a run folder, has other classes, or takes another kind of input.
    """
    distillation = config.distillation
    if not distillation.teacher:
        _check_unused(config)
        return None
    stored = read_weights(distillation.teacher, _FIELD)
    _check(stored.config, stored.num_classes, config, dataset)
    scale, shift = _renormalised(dataset, stored.mean, stored.std)
    if scale and not SIGNALS[config.data.signal].by_channel:
        raise UserError(
            f"{_FIELD}: {distillation.teacher} was trained on features with a different mean and "
            "standard deviation; give the student its data.mean and data.std"
        )
    tensors = tensors_of(stored)
    digest = {"from": distillation.teacher, "sha256": digest_of(tensors), "step": stored.step}
    source = Start(tensors, digest | {"differs": []}, "learns from")
    model = models.build(stored.config.model, stored.num_classes)
    return Teacher(
        model, stored.variables, scale, shift, distillation.weight, distillation.temperature, source
    )


def _check_unused(config: ConfigDict) -> None:
    for name in ("weight", "temperature"):
        if config.distillation[name] != FIELDS[f"distillation.{name}"].default:
            raise UserError(
                f"distillation.{name}: has no effect without {_FIELD}; leave it out, or name a run"
            )


def _check(theirs: ConfigDict, classes: int, config: ConfigDict, dataset: Dataset) -> None:
    if theirs.data.signal != config.data.signal:
        raise UserError(
            f"{_FIELD}: {config.distillation.teacher} was trained on data.signal="
            f"{theirs.data.signal}, the student on {config.data.signal}; choose one on the same"
        )
    if classes != dataset.num_classes:
        raise UserError(
            f"{_FIELD}: {config.distillation.teacher} has {classes} classes, the student's data "
            f"has {dataset.num_classes}; choose a run on the same classes"
        )


def _renormalised(
    dataset: Dataset, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns scale and shift from the student's normalised inputs to the teacher's; (): equal."""
    if (tuple(dataset.mean), tuple(dataset.std)) == (mean, std):
        return (), ()
    pairs = list(zip(dataset.mean, dataset.std, mean, std, strict=True))
    scale = tuple(ours / theirs for _, ours, _, theirs in pairs)
    shift = tuple((m - theirs) / s for m, _, theirs, s in pairs)
    return scale, shift
