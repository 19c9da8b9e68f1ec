"""Learning-rate schedules, the weight-decay rule and the optimizers, composed from optax."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from cnn.config.registry import Registry
from cnn.training.plan import Plan

Schedule = Callable[[jax.Array | int], jax.Array]

OPTIMIZERS: Registry[Callable[[ConfigDict], optax.GradientTransformation]] = Registry(
    "optimizer", "optimizer.name"
)
SCHEDULES: Registry[Callable[[ConfigDict, Plan], Schedule]] = Registry("schedule", "schedule.name")


def decay_mask(params: dict) -> dict:
    """Returns True for the parameters that weight decay shrinks: every leaf named `kernel`.

    Convolution and dense kernels carry that name and nothing else does: biases, the scales of
    norms, and parameters of pooling operators (a GeM exponent, a mixing weight) are left alone.
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def make_optimizer(optimizer: ConfigDict, clip_norm: float) -> optax.GradientTransformation:
    """Builds the direction of an update; the step subtracts it times the learning rate.

    The learning rate stays outside, so that `TrainState.step` is the only clock.
    """
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
    return optax.chain(clip, OPTIMIZERS.bound(optimizer.name, "optimizer.name")(optimizer))


@OPTIMIZERS.register("sgd", reads=("momentum", "nesterov"))
def _sgd(c: ConfigDict) -> optax.GradientTransformation:
    # L2 in the gradient, before the momentum: what every published CIFAR and ImageNet recipe means.
    return optax.chain(
        optax.add_decayed_weights(c.weight_decay, decay_mask),
        optax.trace(c.momentum, c.nesterov) if c.momentum else optax.identity(),
    )


@OPTIMIZERS.register("adamw", reads=("beta1", "beta2", "epsilon"))
def _adamw(c: ConfigDict) -> optax.GradientTransformation:
    """Loshchilov & Hutter, ICLR 2019."""
    return optax.chain(
        optax.scale_by_adam(c.beta1, c.beta2, c.epsilon),
        optax.add_decayed_weights(c.weight_decay, decay_mask),
    )


@OPTIMIZERS.register("lamb", reads=("beta1", "beta2", "epsilon"))
def _lamb(c: ConfigDict) -> optax.GradientTransformation:
    """You et al., ICLR 2020."""
    return optax.chain(_adamw(c), optax.scale_by_trust_ratio())


@OPTIMIZERS.register("lion", reads=("beta1", "beta2"))
def _lion(c: ConfigDict) -> optax.GradientTransformation:
    """Chen et al., NeurIPS 2023."""
    return optax.chain(
        optax.scale_by_lion(c.beta1, c.beta2),
        optax.add_decayed_weights(c.weight_decay, decay_mask),
    )


def make_schedule(schedule: ConfigDict, plan: Plan) -> Schedule:
    """Returns step -> learning rate, for steps 0 to `plan.total_steps` - 1.

    Warm-up of W steps is linear: the first update uses peak / W and the W-th the peak, so no update
    is spent on a rate of zero. What follows starts at the peak in step W and would reach its end in
    step `plan.total_steps`, which no longer runs. `one_cycle` rises by a cosine from peak / 25
    instead (Smith & Topin 2017).
    """
    after = SCHEDULES.bound(schedule.name, "schedule.name")(schedule, plan)
    warmup, peak = plan.warmup_steps, plan.learning_rate
    if not warmup:
        return after
    if schedule.name == "one_cycle":
        low = peak / 25
        rise = lambda t: peak - (peak - low) * 0.5 * (1 + jnp.cos(jnp.pi * t / warmup))  # noqa: E731
    else:
        rise = lambda t: peak * (t + 1) / warmup  # noqa: E731
    return optax.join_schedules([rise, after], [warmup])


@SCHEDULES.register("constant")
def _constant(schedule: ConfigDict, plan: Plan) -> Schedule:
    return optax.constant_schedule(plan.learning_rate)


@SCHEDULES.register("cosine", reads=("final",))
@SCHEDULES.register("one_cycle", reads=("final",))
def _cosine(schedule: ConfigDict, plan: Plan) -> Schedule:
    steps = plan.total_steps - plan.warmup_steps
    return optax.cosine_decay_schedule(plan.learning_rate, steps, alpha=schedule.final)


@SCHEDULES.register("linear", reads=("final",))
def _linear(schedule: ConfigDict, plan: Plan) -> Schedule:
    steps = plan.total_steps - plan.warmup_steps
    return optax.linear_schedule(plan.learning_rate, plan.learning_rate * schedule.final, steps)


@SCHEDULES.register("step", reads=("boundaries", "factor"))
def _step(schedule: ConfigDict, plan: Plan) -> Schedule:
    def rate(count: jax.Array | int) -> jax.Array:
        passed = sum(jnp.where(count + plan.warmup_steps >= b, 1, 0) for b in plan.boundaries)
        return plan.learning_rate * schedule.factor**passed

    return rate
