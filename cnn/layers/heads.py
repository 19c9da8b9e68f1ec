"""Global pooling before the classifier, by name."""

import math
from collections.abc import Callable
from dataclasses import replace
from operator import gt
from typing import Annotated, Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from cnn.config.errors import UserError
from cnn.config.fields import Interval
from cnn.config.registry import Registry
from cnn.layers.downsample import Card, FeatureCount, Operator
from cnn.layers.style import NORMS, Style
from cnn.layers.work import Count, Site, Work, per_element
from cnn.ops.heads import (
    adaptive_avg,
    attention_pool,
    global_avg,
    global_avg_max,
    global_cat_avg_max,
    global_gem,
    global_log_sum_exp,
    global_max,
    sim_pool,
)
from cnn.ops.weighted import check_power

_SITE = "the last pooling before the classifier"
HEADS: Registry[Operator] = Registry("head", "model.head", "model.temporal_head")


def register_head(name: str, card: Card, cost: Count | None = None) -> Callable[[Any], Any]:
    """Decorator that registers (layer, x `[B, *spatial, C]`, train, **options) -> `[B, F]`."""

    def add(apply: Callable[..., Array]) -> Callable[..., Array]:
        sited = card if card.site != Card.site else replace(card, site=_SITE)
        HEADS.add(name, Operator(apply, sited, cost=cost))
        return apply

    return add


class Head(nn.Module):
    """Pools `[B, *spatial, C]` over all positions and classifies.

    Attributes:
      pooling: "name" or "name(option=value)" of the registry.
      num_classes: K; 0 omits the classifier and the dropout before it.
      style: of the network.
      dropout: rate before the classifier and between hidden layers of `flatten`.
      scale: factor of the logits.
      use_bias: whether the classifier has a bias.
      norm: whether a norm follows the pooling.
      hidden: width of a hidden layer before the classifier; 0: none.
      dense_first: whether the classifier and an activation precede the pooling, at every position.
      kernel_init: of the classifier.
      field: config field of the pooling, for error messages.
    """

    pooling: str
    num_classes: int
    style: Style
    dropout: float = 0.0
    scale: float = 1.0
    use_bias: bool = True
    norm: bool = False
    hidden: int = 0
    dense_first: bool = False
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()
    field: str = "model.head"

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Returns float32 logits `[B, K]`, or pooled features `[B, F]` where K is 0."""
        name, options = HEADS.parse(self.pooling, self.field)
        if self.dense_first and self.num_classes:
            x = self.style.activate(self._classify(x.astype(jnp.float32), train))
        try:
            x = HEADS[name].apply(self, x.astype(jnp.float32), train, **options)
        except UserError as error:
            raise UserError(f"{self.field}: '{self.pooling}': {error}") from error
        if self.norm:
            x = self.style.make_norm("norm")(x, train)
        if self.hidden:
            x = self.style.activate(nn.Dense(self.hidden, name="hidden")(x))
        return self._classify(x, train) if self.num_classes and not self.dense_first else x

    def _classify(self, x: Array, train: bool) -> Array:
        x = self.drop(x, train)
        classifier = nn.Dense(
            self.num_classes, self.use_bias, kernel_init=self.kernel_init, name="classifier"
        )
        return classifier(x) * self.scale

    def drop(self, x: Array, train: bool) -> Array:
        """Applies the dropout."""
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class _Projection(nn.Module):
    """The parameters of a square linear map; weight decay recognises "kernel".

    Attributes:
      features: C.
      use_bias: whether there is a bias.
    """

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self) -> tuple[Array, Array | None]:
        """Returns the kernel `[C, C]`, and the bias `[C]` or None."""
        start = nn.initializers.normal(self.features**-0.5)
        kernel = self.param("kernel", start, (self.features, self.features), jnp.float32)
        if not self.use_bias:
            return kernel, None
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)


@register_head(
    "avg",
    Card(
        formula="y = mean over all positions, or over the first window positions per axis",
        reference="Lin et al., ICLR 2014; with window=(24, 5) MLPerf Tiny's DS-CNN",
        oracle=("global_avg",),
        pitfalls="invariant to circular shifts only: borders and padding leak position "
        "information.",
    ),
    cost=per_element(),
)
def _avg(
    layer: Head,
    x: Array,
    train: bool,
    *,
    window: Annotated[tuple[int, ...], Interval("[1, 65536]")] = (),
) -> Array:
    if window and (len(window) != x.ndim - 2 or any(map(gt, window, x.shape[1:-1]))):
        raise UserError(f"a window of {window} does not fit feature maps of {x.shape[1:-1]}")
    return global_avg(x[:, *(slice(size) for size in window)])


@register_head(
    "max",
    Card(
        formula="y = maximum over all positions",
        reference="Oquab et al., CVPR 2015",
        oracle=("global_max",),
    ),
    cost=per_element(),
)
def _max(layer: Head, x: Array, train: bool) -> Array:
    return global_max(x)


@register_head(
    "avg_max",
    Card(
        formula="y = (mean + maximum) / 2",
        reference="timm",
        oracle=("global_avg_max",),
        pitfalls="some implementations sum the two.",
    ),
    cost=per_element(2),
)
def _avg_max(layer: Head, x: Array, train: bool) -> Array:
    return global_avg_max(x)


@register_head(
    "cat_avg_max",
    Card(
        formula="y = mean and maximum, concatenated",
        reference="timm",
        oracle=("global_cat_avg_max",),
        parameters="C K: the classifier has twice as many inputs",
        macs="C K",
    ),
    cost=per_element(2),
)
def _cat_avg_max(layer: Head, x: Array, train: bool) -> Array:
    return global_cat_avg_max(x)


@register_head(
    "gem",
    Card(
        formula="y = (mean max(x, 1e-6)**p) ** (1 / p), p learned",
        reference="Radenovic et al., TPAMI 2018",
        oracle=("global_gem",),
        parameters="1",
        pitfalls="negative elements contribute neither value nor gradient: use it after a ReLU.",
    ),
    cost=per_element(),
)
def _gem(layer: Head, x: Array, train: bool, *, p: float = 3.0) -> Array:
    check_power(p, "gem")
    return global_gem(x, p=layer.param("p", nn.initializers.constant(p), (), jnp.float32))


@register_head(
    "lse",
    Card(
        formula="y = log(mean exp(r x)) / r, r learned",
        reference="Pinheiro & Collobert, CVPR 2015; learned as LsePlus in timm",
        oracle=("global_log_sum_exp",),
        parameters="1",
    ),
    cost=per_element(),
)
def _lse(layer: Head, x: Array, train: bool, *, r: float = 10.0) -> Array:
    if r <= 0:
        raise UserError(f"r={r} is not positive; use e.g. r=10.0")
    start = nn.initializers.constant(r)
    return global_log_sum_exp(x, r=layer.param("r", start, (), jnp.float32))


def _cost_of_attention(s: Site) -> Work:
    tokens, channels = s.positions + 1, s.channels
    maps = (2 * tokens + 2) * channels**2  # keys and values of all tokens; one query, one output
    return Work(macs=maps + 2 * tokens * channels)


def _cost_of_simpool(s: Site) -> Work:
    maps = (s.positions + 1) * s.channels**2  # keys of all positions, one query
    return Work(macs=maps + 2 * s.positions * s.channels)


@register_head(
    "attention",
    Card(
        formula="multi-head attention over all positions with the mean as query and position "
        "embeddings",
        reference="CLIP, Radford et al., ICML 2021",
        oracle=("attention_pool",),
        parameters="4 C**2 + 4 C + (1 + positions) C",
        macs="about 2 C**2 per position",
        pitfalls="learned position embeddings tie the network to one image size; without them "
        "(positions=False) the head is permutation-invariant.",
    ),
    cost=_cost_of_attention,
)
def _attention(
    layer: Head, x: Array, train: bool, *, heads: FeatureCount = 8, positions: bool = True
) -> Array:
    channels = x.shape[-1]
    start = nn.initializers.normal(channels**-0.5)
    shape = 1 + math.prod(x.shape[1:-1]), channels
    places = layer.param("positions", start, shape, jnp.float32) if positions else jnp.zeros(shape)
    names = ("query", "key", "value", "output")
    projections = [_Projection(channels, name=name)() for name in names]
    return attention_pool(x, places, *projections, heads=heads)


@register_head(
    "simpool",
    Card(
        formula="single-head attention with the mean as query, and a power mean over positive "
        "values",
        reference="SimPool, Psomas et al., ICCV 2023",
        oracle=("sim_pool",),
        parameters="2 C**2 + 2 C",
        macs="about C**2 per position",
        pitfalls="gamma=2 is the authors' choice for convolutional networks. Implementations "
        "differ in the minimum subtracted to make values positive; see cnn/ops/heads.py.",
    ),
    cost=_cost_of_simpool,
)
def _simpool(layer: Head, x: Array, train: bool, *, gamma: float = 2.0) -> Array:
    normed = NORMS["layer"](layer.style, name="token_norm")(x, train)
    query, _ = _Projection(x.shape[-1], use_bias=False, name="query")()
    key, _ = _Projection(x.shape[-1], use_bias=False, name="key")()
    return sim_pool(x, normed, normed, query, key, gamma=gamma)


def _cost_of_flatten(s: Site) -> Work:
    return Work(operations=math.prod(s.before) if s.options["grid"] else 0)


@register_head(
    "flatten",
    Card(
        formula="y = all positions and channels, followed by fully connected hidden layers",
        reference="LeCun et al. 1998; VGG of Simonyan & Zisserman, ICLR 2015",
        oracle=("adaptive_avg",),
        parameters="positions C hidden[0] + ..., plus biases",
        macs="as many as parameters",
        pitfalls="ties the network to one image size, unless grid > 0 first averages to that many "
        "positions per axis (7 in torchvision's VGG). PyTorch flattens channels-first.",
    ),
    cost=_cost_of_flatten,
)
def _flatten(
    layer: Head,
    x: Array,
    train: bool,
    *,
    hidden: Annotated[tuple[int, ...], Interval("[1, 65536]")] = (),
    grid: int = 0,
) -> Array:
    x = adaptive_avg(x, grid) if grid else x
    x = x.reshape(x.shape[0], -1)
    for i, features in enumerate(hidden, 1):
        # VGG applies dropout after each hidden layer; the one after the last is the classifier's.
        x = layer.drop(x, train) if i > 1 else x
        x = layer.style.activate(nn.Dense(features, name=f"hidden{i}")(x))
    return x
