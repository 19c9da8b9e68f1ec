"""Values that depend on several fields, resolved once, after the overrides, and logged."""

from dataclasses import dataclass
from itertools import pairwise

from ml_collections import ConfigDict

from cnn.config.durations import to_steps
from cnn.config.errors import UserError


@dataclass(frozen=True)
class TrainingPlan:
    """A config resolved for one data set: durations in steps, learning rate for this batch size."""

    total_steps: int
    warmup_steps: int
    boundaries: tuple[int, ...]
    size_boundaries: tuple[int, ...]
    evaluate_every: int
    checkpoint_every: int
    log_every: int
    learning_rate: float  # peak, for the whole batch
    scaling: str  # of that rate with the batch: linear | none
    train_examples: int


def make_training_plan(config: ConfigDict, train_examples: int, devices: int) -> TrainingPlan:
    """Resolves durations and the learning rate, and refuses what cannot be trained.

    Args:
      config: the complete config.
      train_examples: examples of the training split.
      devices: devices that share the batch.

    Raises:
      UserError: names the field, its value, and the nearest one that works.
    """
    batch_size = config.train.batch_size
    _check_batch(batch_size, config.train.accumulation, train_examples, devices)
    _check_ghosts(config.model.ghost_batch, batch_size // config.train.accumulation)
    sizes = {"batch_size": batch_size, "examples": train_examples}
    total = to_steps(config.train.duration, "train.duration", **sizes)
    if total < 1:
        raise UserError(f"train.duration: '{config.train.duration}' is less than one step")
    sizes["total"] = total

    def steps(section: str, name: str) -> int:
        return to_steps(config[section][name], f"{section}.{name}", **sizes)

    plan = TrainingPlan(
        total_steps=total,
        warmup_steps=steps("schedule", "warmup"),
        boundaries=tuple(
            to_steps(b, "schedule.boundaries", **sizes) for b in config.schedule.boundaries
        ),
        size_boundaries=tuple(
            to_steps(b, "augment.size_boundaries", **sizes) for b in config.augment.size_boundaries
        ),
        evaluate_every=steps("evaluation", "every"),
        checkpoint_every=steps("checkpoint", "every"),
        log_every=steps("log", "every"),
        learning_rate=_peak(config.optimizer, batch_size),
        scaling=config.optimizer.scaling,
        train_examples=train_examples,
    )
    _check_schedule(config, plan)
    _check_sizes(config.augment, plan)
    return plan


def _peak(optimizer: ConfigDict, batch_size: int) -> float:
    scale = batch_size / 256 if optimizer.scaling == "linear" else 1.0
    return optimizer.learning_rate * scale


def _check_batch(batch_size: int, accumulation: int, examples: int, devices: int) -> None:
    unit = accumulation * devices
    if batch_size > examples:
        most = examples // unit * unit
        raise UserError(
            f"train.batch_size: {batch_size} is larger than the training split of {examples} "
            f"examples; " + (f"use at most {most}" if most else f"at least {unit} are needed")
        )
    if batch_size % unit:
        near = max(1, round(batch_size / unit)) * unit
        raise UserError(
            f"train.batch_size: {batch_size} is not divisible by {devices} devices x "
            f"{accumulation} micro-batches; the nearest valid size is {near}"
        )


def _check_ghosts(ghost: int, together: int) -> None:
    if ghost and together % ghost:
        near = min(
            (n for n in range(1, together + 1) if together % n == 0), key=lambda n: abs(n - ghost)
        )
        raise UserError(
            f"model.ghost_batch: {ghost} does not divide the {together} examples that are "
            f"normalised together (train.batch_size / train.accumulation); the nearest that does "
            f"is {near}"
        )


def _check_sizes(augment: ConfigDict, plan: TrainingPlan) -> None:
    boundaries, needed = plan.size_boundaries, max(0, len(augment.sizes) - 1)
    edges = (0, *boundaries, plan.total_steps)
    if len(boundaries) != needed or any(a >= b for a, b in pairwise(edges)):
        raise UserError(
            f"augment.size_boundaries: {tuple(augment.size_boundaries)} are steps {boundaries}; "
            f"{len(augment.sizes)} sizes need {needed}, increasing and before the last step "
            f"({plan.total_steps})"
        )


def _check_schedule(config: ConfigDict, plan: TrainingPlan) -> None:
    total = plan.total_steps
    if plan.warmup_steps >= total:
        raise UserError(
            f"schedule.warmup: '{config.schedule.warmup}' is {plan.warmup_steps} steps, but the "
            f"whole training is {total}; use at most {total - 1} steps"
        )
    edges = (plan.warmup_steps, *plan.boundaries, total)
    if any(a >= b for a, b in pairwise(edges)):
        raise UserError(
            f"schedule.boundaries: {tuple(config.schedule.boundaries)} are steps "
            f"{plan.boundaries}; they must increase, after the warm-up ({plan.warmup_steps}) and "
            f"before the end ({total})"
        )
