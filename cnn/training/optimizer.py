"""The weight-decay rule and the optimizers, composed from optax."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict
from optax import contrib

from cnn.config.base import FIELDS
from cnn.config.errors import UserError, did_you_mean
from cnn.config.fields import Interval, real
from cnn.config.registry import Registry
from cnn.training.layer_decay import scale_by_layer
from cnn.training.schedules import Schedule

OPTIMIZERS: Registry[Callable[[ConfigDict], optax.GradientTransformation]] = Registry(
    "optimizer", "optimizer.name"
)
_REST = "rest"  # label of the parameters that are in no group
# What a group may change: a factor of the learning rate, and most fields of the optimizer.
_GROUP_FIELDS = {"rate": real(1.0, "[0, inf)", "factor of the learning rate")} | {
    name: FIELDS[f"optimizer.{name}"]
    for name in (
        *("name", "momentum", "nesterov"),
        *("beta1", "beta2", "epsilon", "weight_decay"),
    )
}


def decay_mask(params: dict) -> dict:
    """Returns True for the parameters with weight decay: every leaf named `kernel`.

    Convolution and dense kernels carry that name and nothing else does: biases, the scales of
    norms, and parameters of pooling operators (a GeM exponent, a mixing weight) are excluded.
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def make_optimizer(
    optimizer: ConfigDict, clip_norm: float, schedule: Schedule
) -> optax.GradientTransformationExtraArgs:
    """Builds the optimizer of a config's optimizer section.

    Args:
      optimizer: the section.
      clip_norm: of the whole gradient, before anything else; 0: off.
      schedule: step -> learning rate.

    Raises:
      UserError: a group is invalid, or (once there are parameters) matches none.
    """
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
    whole = OPTIMIZERS.bound(optimizer.name, "optimizer.name")(optimizer)
    if optimizer.groups:
        groups = [parse_group(text, optimizer) for text in optimizer.groups]
        parts = {str(i): group.direction() for i, group in enumerate(groups)}
        whole = optax.partition(parts | {_REST: whole}, partial(_labels, groups))
    if optimizer.layer_decay < 1:
        whole = optax.chain(whole, scale_by_layer(optimizer.layer_decay))
    descent = at_rate(optax.chain(clip, whole), schedule)
    if not optimizer.schedule_free:
        return descent
    _check_no_momentum(optimizer)
    return without_schedule(descent, schedule, optimizer.schedule_free)


def _check_no_momentum(optimizer: ConfigDict) -> None:
    """Refuses momentum together with the averaging that replaces it."""
    reads = OPTIMIZERS.reads(OPTIMIZERS.parse(optimizer.name, "optimizer.name")[0])
    for name in ("momentum", "beta1"):
        if name in reads and optimizer[name]:
            raise UserError(
                f"optimizer.schedule_free: replaces optimizer.{name}, which is "
                f"{optimizer[name]}; set it to 0"
            )


def without_schedule(
    descent: optax.GradientTransformationExtraArgs, schedule: Schedule, beta: float
) -> optax.GradientTransformationExtraArgs:
    """Schedule-free averaging of the iterates (Defazio et al., NeurIPS 2024).

    z goes down from gradients taken at y = beta x + (1 - beta) z, which is what `params` holds;
    x is the mean of all z, weighted by the square of the largest rate so far. x is evaluated:
    `optax.contrib.schedule_free_eval_params` of state and params.

    Args:
      descent: of z, without momentum.
      schedule: step -> learning rate.
      beta: share of x in y.
    """

    def update(
        grads: Any, state: Any, params: Any = None, *, step: jax.Array
    ) -> tuple[Any, optax.OptState]:
        free = contrib.schedule_free(descent, schedule(step), beta)
        return free.update(grads, state, params, step=step)

    return optax.GradientTransformationExtraArgs(
        contrib.schedule_free(descent, 0.0, beta).init, update
    )


def at_rate(
    direction: optax.GradientTransformation, schedule: Schedule
) -> optax.GradientTransformationExtraArgs:
    """Scales a direction by the negative learning rate of the `step` that is passed to `update`.

    `TrainState.step` thus stays the only step counter. The rate is passed to the direction as
    `rate`.
    """
    direction = optax.with_extra_args_support(direction)

    def update(
        grads: Any, state: Any, params: Any = None, *, step: jax.Array
    ) -> tuple[Any, optax.OptState]:
        rate = schedule(step)
        towards, state = direction.update(grads, state, params, rate=rate)
        return jax.tree.map(lambda d: -rate * d, towards), state

    return optax.GradientTransformationExtraArgs(direction.init, update)


@dataclass(frozen=True)
class Group:
    """A group of parameters with its own learning rate or optimizer settings.

    Attributes:
      pattern: found in their names, such as "stage1_block1/block/conv/kernel".
      rate: factor of the learning rate; 0: frozen.
      optimizer: the section of the config, changed for them.
    """

    pattern: re.Pattern[str]
    rate: float
    optimizer: ConfigDict

    def direction(self) -> optax.GradientTransformation:
        """Returns the direction of their update, times the factor."""
        if not self.rate:
            return optax.set_to_zero()
        entry = OPTIMIZERS.bound(self.optimizer.name, "optimizer.groups")
        return optax.chain(entry(self.optimizer), optax.scale(self.rate))


def parse_group(text: str, optimizer: ConfigDict) -> Group:
    """Reads "REGEX: rate=0.1 weight_decay=0": a factor of the rate, and fields of the optimizer.

    Raises:
      UserError: the text is of another form, or a setting is unknown, impossible or without effect.
    """
    where, own = f"optimizer.groups: '{text}'", optimizer.copy_and_resolve_references()
    pattern, colon, words = text.rpartition(":")
    settings = dict(word.split("=", 1) for word in words.split() if "=" in word)
    if not colon or not settings or len(settings) != len(words.split()):
        raise UserError(f"{where} is not like 'REGEX: rate=0.1 weight_decay=0'")
    parsed = {}
    for name, value in settings.items():
        if name not in _GROUP_FIELDS:
            raise UserError(f"{where}: unknown '{name}': {did_you_mean(name, _GROUP_FIELDS)}")
        parsed[name] = _GROUP_FIELDS[name].parse(value, where)
        _GROUP_FIELDS[name].check(parsed[name], where)
    rate = parsed.pop("rate", 1.0)
    with own.unlocked():
        own.update(parsed)
    entry, _ = OPTIMIZERS.parse(own.name, where)
    idle = parsed.keys() - OPTIMIZERS.reads(entry) - {"name", "weight_decay"}
    if idle:
        raise UserError(f"{where}: {min(idle)} has no effect with {entry}; leave it out")
    try:
        return Group(re.compile(pattern.strip()), rate, own)
    except re.error as error:
        raise UserError(f"{where}: '{pattern}' is not a regular expression ({error})") from error


def _labels(groups: Sequence[Group], params: Any) -> Any:
    """Returns, for each parameter, the number of the first group that it belongs to."""

    def label(path: Any, _: Any) -> str:
        found = (str(i) for i, group in enumerate(groups) if group.pattern.search(_name(path)))
        return next(found, _REST)

    labels = jax.tree_util.tree_map_with_path(label, params)
    taken = set(jax.tree.leaves(labels))
    for i, group in enumerate(groups):
        if str(i) not in taken:
            paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
            raise UserError(
                f"optimizer.groups: no other parameter matches '{group.pattern.pattern}'; names "
                f"are {', '.join(map(_name, paths[:6]))}, ..."
            )
    return labels


def _name(path: Any) -> str:
    return "/".join(key.key for key in path)


def _decoupled(
    direction: optax.GradientTransformation, c: ConfigDict
) -> optax.GradientTransformation:
    """Decoupled weight decay, added to a direction (Loshchilov & Hutter 2019)."""
    return optax.chain(direction, optax.add_decayed_weights(c.weight_decay, decay_mask))


def _velocity(c: ConfigDict) -> optax.GradientTransformation:
    return optax.trace(c.momentum, c.nesterov) if c.momentum else optax.identity()


@OPTIMIZERS.register("sgd", reads=("momentum", "nesterov"))
def _sgd(c: ConfigDict) -> optax.GradientTransformation:
    # L2 in the gradient, before the momentum: what every published CIFAR and ImageNet recipe means.
    return optax.chain(optax.add_decayed_weights(c.weight_decay, decay_mask), _velocity(c))


@OPTIMIZERS.register("rmsprop", reads=("momentum", "nesterov", "epsilon"))
def _rmsprop(
    c: ConfigDict, *, decay: Annotated[float, Interval("[0, 1)")] = 0.9
) -> optax.GradientTransformation:
    """Tieleman & Hinton 2012, with momentum and L2 in the gradient, as for the MobileNets."""
    return optax.chain(
        optax.add_decayed_weights(c.weight_decay, decay_mask),
        optax.scale_by_rms(decay, c.epsilon),
        _velocity(c),
    )


@OPTIMIZERS.register("lars", reads=("momentum", "nesterov"))
def _lars(
    c: ConfigDict, *, trust: Annotated[float, Interval("(0, 1]")] = 0.001
) -> optax.GradientTransformation:
    """You et al. 2017: the rate of a kernel is proportional to its norm over its gradient's."""
    return optax.chain(
        optax.add_decayed_weights(c.weight_decay, decay_mask),
        optax.masked(optax.scale_by_trust_ratio(trust_coefficient=trust), decay_mask),
        _velocity(c),
    )


@OPTIMIZERS.register("adamw", reads=("beta1", "beta2", "epsilon"))
def _adamw(c: ConfigDict) -> optax.GradientTransformation:
    """Loshchilov & Hutter, ICLR 2019."""
    return _decoupled(optax.scale_by_adam(c.beta1, c.beta2, c.epsilon), c)


@OPTIMIZERS.register("nadamw", reads=("beta1", "beta2", "epsilon"))
def _nadamw(c: ConfigDict) -> optax.GradientTransformation:
    """Dozat 2016: Adam with Nesterov's momentum."""
    return _decoupled(optax.scale_by_adam(c.beta1, c.beta2, c.epsilon, nesterov=True), c)


@OPTIMIZERS.register("radam", reads=("beta1", "beta2", "epsilon"))
def _radam(c: ConfigDict) -> optax.GradientTransformation:
    """Liu et al., ICLR 2020."""
    return _decoupled(optax.scale_by_radam(c.beta1, c.beta2, c.epsilon), c)


@OPTIMIZERS.register("adabelief", reads=("beta1", "beta2", "epsilon"))
def _adabelief(c: ConfigDict) -> optax.GradientTransformation:
    """Zhuang et al., NeurIPS 2020; its epsilon should be 1e-16."""
    return _decoupled(optax.scale_by_belief(c.beta1, c.beta2, c.epsilon, c.epsilon), c)


@OPTIMIZERS.register("adan", reads=("epsilon",))
def _adan(
    c: ConfigDict,
    *,
    beta1: Annotated[float, Interval("[0, 1)")] = 0.98,
    beta2: Annotated[float, Interval("[0, 1)")] = 0.92,
    beta3: Annotated[float, Interval("[0, 1)")] = 0.99,
) -> optax.GradientTransformation:
    """Xie et al., TPAMI 2024; the betas here are one minus the paper's."""
    return _decoupled(optax.scale_by_adan(beta1, beta2, beta3, c.epsilon), c)


@OPTIMIZERS.register("lamb", reads=("beta1", "beta2", "epsilon"))
def _lamb(c: ConfigDict) -> optax.GradientTransformation:
    """You et al., ICLR 2020."""
    return optax.chain(_adamw(c), optax.scale_by_trust_ratio())


@OPTIMIZERS.register("prodigy", reads=("beta1", "beta2", "epsilon"))
def _prodigy(
    c: ConfigDict, *, start: Annotated[float, Interval("(0, 1]")] = 1e-6
) -> optax.GradientTransformationExtraArgs:
    """Mishchenko & Defazio, ICML 2024: Adam that finds its own learning rate, starting at `start`.

    The config's learning rate multiplies the one that is found: it should be 1, with
    `optimizer.scaling=none`.
    """

    def update(grads: Any, state: Any, params: Any, *, rate: jax.Array) -> tuple[Any, Any]:
        inner = contrib.prodigy(rate, (c.beta1, c.beta2), eps=c.epsilon, estim_lr0=start)
        moves, new = inner.update(grads, state, params)
        unbias = jnp.sqrt(1 - c.beta2**new.count) / (1 - c.beta1**new.count)
        decay = c.weight_decay * state.estim_lr * unbias
        tiny = jnp.finfo(jnp.float32).tiny
        towards = jax.tree.map(
            lambda move, p, kernel: -move / jnp.maximum(rate, tiny) + kernel * decay * p,
            moves,
            params,
            decay_mask(params),
        )
        return towards, new

    return optax.GradientTransformationExtraArgs(contrib.prodigy(estim_lr0=start).init, update)


@OPTIMIZERS.register("lion", reads=("beta1", "beta2"))
def _lion(c: ConfigDict) -> optax.GradientTransformation:
    """Chen et al., NeurIPS 2023."""
    return _decoupled(optax.scale_by_lion(c.beta1, c.beta2), c)


@OPTIMIZERS.register("muon", reads=("momentum", "nesterov", "beta1", "beta2", "epsilon"))
def _muon(c: ConfigDict) -> optax.GradientTransformation:
    """Jordan et al. 2024: orthogonalised momentum for hidden kernels, Adam for the rest.

    A kernel is a matrix of (window x input channels) by output channels. Biases, norms and whatever
    lies in the head take Adam with Nesterov's momentum.
    """
    return contrib.muon(
        -1.0,  # optax goes against the direction at this rate; what is wanted is the direction
        beta=c.momentum,
        eps=c.epsilon,
        weight_decay=c.weight_decay,
        weight_decay_mask=decay_mask,
        nesterov=c.nesterov,
        adam_b1=c.beta1,
        adam_b2=c.beta2,
        muon_weight_dimension_numbers=_hidden_matrices,
    )


def _hidden_matrices(params: Any) -> Any:
    def matrix(path: Any, p: jax.Array) -> contrib.MuonDimensionNumbers | None:
        hidden = path[-1].key == "kernel" and path[0].key != "head" and p.ndim > 1
        return contrib.MuonDimensionNumbers(tuple(range(p.ndim - 1)), -1) if hidden else None

    return jax.tree_util.tree_map_with_path(matrix, params)
