"""Learning-rate schedules, composed from optax."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.training.plan import TrainingPlan

Schedule = Callable[[jax.Array | int], jax.Array]

SCHEDULES: Registry[Callable[[ConfigDict, TrainingPlan], Schedule]] = Registry(
    "schedule", "schedule.name"
)


def make_schedule(schedule: ConfigDict, plan: TrainingPlan) -> Schedule:
    """Returns step -> learning rate, for steps 0 to `plan.total_steps` - 1.

    Raises:
      UserError: the schedule lacks what it needs.
    """
    return SCHEDULES.bound(schedule.name, "schedule.name")(schedule, plan)


def after_warmup(plan: TrainingPlan, after: Schedule, rise: Schedule | None = None) -> Schedule:
    """Returns the schedule that warms up and then follows another one.

    Args:
      plan: with a warm-up of W steps; 0: none.
      after: from the end of the warm-up, where it starts at the peak; it would reach its end in
        step `plan.total_steps`, which no longer runs.
      rise: the warm-up; None: linear, so that the first update uses peak / W and the W-th the peak,
        and none is spent on a rate of zero.
    """
    if not plan.warmup_steps:
        return after
    linear = lambda t: plan.learning_rate * (t + 1) / plan.warmup_steps  # noqa: E731
    return optax.join_schedules([rise or linear, after], [plan.warmup_steps])


@SCHEDULES.register("constant")
def _constant(schedule: ConfigDict, plan: TrainingPlan) -> Schedule:
    return after_warmup(plan, optax.constant_schedule(plan.learning_rate))


@SCHEDULES.register("cosine", reads=("final",))
def _cosine(schedule: ConfigDict, plan: TrainingPlan) -> Schedule:
    return after_warmup(plan, _half_cosine(schedule, plan))


@SCHEDULES.register("one_cycle", reads=("final",))
def _one_cycle(schedule: ConfigDict, plan: TrainingPlan) -> Schedule:
    """Rises by a cosine from peak / 25, and falls by one (Smith & Topin 2017)."""
    if not plan.warmup_steps:
        raise UserError("schedule.warmup: one_cycle needs a warm-up; set it, for example, to '30%'")
    peak, low = plan.learning_rate, plan.learning_rate / 25

    def rise(count: jax.Array | int) -> jax.Array:
        return peak - (peak - low) * 0.5 * (1 + jnp.cos(jnp.pi * count / plan.warmup_steps))

    return after_warmup(plan, _half_cosine(schedule, plan), rise)


def _half_cosine(schedule: ConfigDict, plan: TrainingPlan) -> Schedule:
    steps = plan.total_steps - plan.warmup_steps
    return optax.cosine_decay_schedule(plan.learning_rate, steps, alpha=schedule.final)


@SCHEDULES.register("linear", reads=("final",))
def _linear(schedule: ConfigDict, plan: TrainingPlan) -> Schedule:
    steps = plan.total_steps - plan.warmup_steps
    end = plan.learning_rate * schedule.final
    return after_warmup(plan, optax.linear_schedule(plan.learning_rate, end, steps))


@SCHEDULES.register("step", reads=("boundaries", "factor"))
def _step(schedule: ConfigDict, plan: TrainingPlan) -> Schedule:
    if not plan.boundaries:
        raise UserError("schedule.boundaries: step needs at least one; for example ('50%', '75%')")

    def rate(count: jax.Array | int) -> jax.Array:
        passed = sum(jnp.where(count + plan.warmup_steps >= b, 1, 0) for b in plan.boundaries)
        return plan.learning_rate * schedule.factor**passed

    return after_warmup(plan, rate)
