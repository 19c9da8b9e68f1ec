"""Networks with operators; dtypes, and what each field changes."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from ml_collections import ConfigDict

from cnn.config.base import get_config
from cnn.config.check import check_read
from cnn.config.errors import UserError
from cnn.layers import DOWNSAMPLERS
from cnn.models import COMMON, MODELS, build
from configs import base
from tests.layers.cases import KEYS, image, quick, score
from tests.models.cases import (
    KINDS,
    OTHER_SHAPES,
    SHAPE,
    abstract,
    model_config,
    parameters,
    small_config,
    untrained,
)


@pytest.mark.parametrize("name", MODELS)
def test_every_network_is_built_from_its_published_choices(name):
    build(model_config(name), 10)
    fields = set(base.get_config().model)
    assert MODELS[name].reads | set(MODELS[name].published) <= fields
    assert set(MODELS[name].published) <= MODELS[name].reads | COMMON


def test_every_field_is_read_by_a_network():
    read = COMMON.union(*(entry.reads for entry in MODELS.values()))
    assert read == set(base.get_config().model)


def with_operator(name: str, operator: str) -> ConfigDict:
    """Returns a small config.model that reduces by an operator wherever it can."""
    fields = {"downsample": operator}
    if MODELS[name].stems:
        fields["stem"] = "cifar"
    if "shortcut_downsample" in MODELS[name].reads:
        on_conv = DOWNSAMPLERS[operator].on_conv and "shortcut" in MODELS[name].reads
        fields["shortcut_downsample"] = "subsample" if on_conv else operator
    return small_config(name, **fields)


def update(model: ConfigDict) -> Callable[[Any, Array], tuple[Any, Array]]:
    """Returns a plain gradient step: (variables, images) -> (variables, logits)."""
    module = build(model, 10)
    rngs = {"dropout": KEYS["dropout"]}

    def step(variables: Any, x: Array) -> tuple[Any, Array]:
        def loss(params: Any) -> tuple[Array, tuple[Any, Array]]:
            given = variables | {"params": params}
            logits, changed = module.apply(given, x, True, mutable=["batch_stats"], rngs=rngs)
            return score(logits), (changed, logits)

        gradients, (changed, logits) = jax.grad(loss, has_aux=True)(variables["params"])
        params = jax.tree.map(lambda p, g: p - 0.01 * g, variables["params"], gradients)
        return variables | changed | {"params": params}, logits

    return step


def traced(name: str, operator: str) -> tuple[Any, Any, tuple[tuple[int, ...], Any]]:
    """Traces a step, which compiles nothing; returns variables before, after, and of the logits."""
    model, shape = with_operator(name, operator), OTHER_SHAPES.get(name, SHAPE)
    variables = abstract(model, shape)[1]
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    after, logits = jax.eval_shape(update(model), variables, x)
    return variables, after, (logits.shape, logits.dtype)


ALL = (*KINDS, *OTHER_SHAPES)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ALL)
def test_every_network_takes_a_step_with_every_operator(name):
    for operator in DOWNSAMPLERS:
        before, after, logits = traced(name, operator)
        assert logits == ((2, 10), jnp.float32), operator
        assert after == before, operator


OPERATORS = [*DOWNSAMPLERS]
# Each operator and each network at least once: networks share the layers in which operators stand.
PAIRS = [
    (ALL[i % len(ALL)], OPERATORS[i % len(OPERATORS)]) for i in range(max(len(ALL), len(OPERATORS)))
]


@pytest.mark.parametrize(("name", "operator"), PAIRS)
def test_a_network_takes_a_step_with_an_operator(name, operator):
    before, after, logits = traced(name, operator)
    assert logits == ((2, 10), jnp.float32)
    assert after == before


# Besides the path of the plain network, they have every kind of site: on a shortcut, depthwise.
OTHER_SITES = [pytest.param(n, marks=pytest.mark.exhaustive) for n in ("resnet20", "mobilenet_v1")]


@pytest.mark.parametrize("operator", DOWNSAMPLERS)
@pytest.mark.parametrize("name", ["plain", *OTHER_SITES])
def test_every_operator_is_run_in_a_network(name, operator):
    model = with_operator(name, operator)
    variables = untrained(abstract(model)[1])
    after, logits = quick(update(model))(variables, image(*SHAPE))
    assert np.isfinite(logits).all()
    for path, leaf in jax.tree_util.tree_leaves_with_path(after):
        assert np.isfinite(leaf).all(), path


AFTER_STEMS = [name for name, entry in DOWNSAMPLERS.items() if not (entry.on_conv or entry.dilates)]


@pytest.mark.parametrize("operator", AFTER_STEMS)
def test_every_operator_works_after_the_stem(operator):
    """In turn in both networks: a stem reduces alike in each."""
    name = ("resnet18", "convnext_t")[AFTER_STEMS.index(operator) % 2]
    model = small_config(name, stem="imagenet", stem_downsample=operator)
    assert abstract(model, (2, 32, 32, 3))[0].shape == (2, 10)


def test_bfloat16_computes_nearly_the_same():
    @quick
    def run(x):
        variables = build(small_config("resnet20"), 10).init(KEYS, x, False)
        wide, narrow = (build(small_config("resnet20", dtype=d), 10) for d in DTYPES)
        return wide.apply(variables, x, False), narrow.apply(variables, x, False)

    wide, narrow = run(image(*SHAPE))
    assert narrow.dtype == jnp.float32
    np.testing.assert_allclose(narrow, wide, atol=0.05 * np.abs(wide).max())
    assert (np.asarray(narrow) != wide).any()


DTYPES = ("float32", "bfloat16")


@pytest.mark.parametrize("name", KINDS)
def test_nothing_but_logits_is_float32_in_bfloat16(name):
    module = build(small_config(name, dtype="bfloat16"), 10)
    x = jax.ShapeDtypeStruct(SHAPE, jnp.float32)
    trace = jax.make_jaxpr(lambda x: module.init_with_output(KEYS, x, True), return_shape=True)
    jaxpr, (logits, variables) = trace(x)
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    lines = [line for line in str(jaxpr).splitlines() if "conv_general_dilated[" in line]
    assert lines
    assert all("bf16" in line for line in lines)


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "preact_resnet50"])
def test_a_site_changes_itself_and_nothing_else(name):
    fields = {"stem": "cifar", "shortcut": "projection"}
    before = parameters(abstract(small_config(name, **fields))[1])
    changes = {
        "stem_downsample": "gem",
        "downsample": "gem",
        "shortcut_downsample": "gem",
        "head": "gem",
    }
    places = {
        "stem_downsample": {"stem/downsample/p"},
        "downsample": {"stage2_block1/conv1/downsample/p", "stage2_block1/conv2/downsample/p"},
        "shortcut_downsample": {"stage2_block1/shortcut/downsample/p"},
        "head": {"head/p"},
    }
    if name == "preact_resnet50":
        places["downsample"] = {"stage2_block1/downsample/p"}
    for field, operator in changes.items():
        after = parameters(abstract(small_config(name, **fields, **{field: operator}))[1])
        assert before.items() <= after.items()
        added = set(after) - set(before)
        assert added, field
        assert added <= places[field]


@pytest.mark.parametrize(("stem", "reduction"), [("cifar", 1), ("imagenet", 4), ("deep", 4)])
def test_a_stem_reduces_by_what_it_says(stem, reduction):
    model = small_config("resnet18", stem=stem, head="flatten", shortcut="pad")
    shapes = parameters(abstract(model, (2, 32, 32, 3))[1])
    side = 32 // reduction // 2
    assert shapes["head/classifier/kernel"] == (side * side * 8, 10)


def test_dilated_networks_keep_the_resolution_and_the_parameters():
    fields = {"downsample": "dilated", "shortcut_downsample": "none", "head": "flatten"}
    _, dense = abstract(small_config("resnet20", **fields))
    _, strided = abstract(small_config("resnet20"))
    dense, strided = parameters(dense), parameters(strided)
    assert dense.pop("head/classifier/kernel") == (16 * 16 * 8, 10)
    strided.pop("head/classifier/kernel")
    assert dense == strided


def test_width_rounds_to_multiples_of_eight():
    shapes = parameters(abstract(model_config("mobilenet_v2", width=0.35, stem="cifar"))[1])
    assert shapes["stem/conv/kernel"][-1] == 16
    assert shapes["last/conv/kernel"][-1] == 1280
    assert {shape[-1] % 8 for path, shape in shapes.items() if "conv/kernel" in path} == {0}


def test_three_dimensions_and_one():
    for shape in ((2, 16, 3), (2, 8, 8, 8, 3)):
        assert abstract(small_config("resnet20"), shape)[0].shape == (2, 10)


def test_all_cnn_drops_behind_reductions_and_pixels():
    x = image(64, 16, 16, 3)

    @quick
    def run(x):
        plain = build(model_config("all_cnn_c"), 10)
        variables = plain.init(KEYS, x[:1], False)
        outputs = []
        for fields in ({}, {"dropout": 0.5}, {"input_dropout": 0.5}):
            module = build(model_config("all_cnn_c", **fields), 10)
            rngs = {"dropout": KEYS["dropout"]}
            outputs.append(
                [module.apply(variables, x, train, rngs=rngs) for train in (False, True)]
            )
        return outputs

    (base_off, base_on), *others = run(x)
    np.testing.assert_array_equal(base_off, base_on)
    for off, on in others:
        np.testing.assert_array_equal(off, base_off)
        assert np.abs(on - off).max() > 1e-6


def test_stem_dropout_drops_values_after_the_stem_in_training_only():
    x, rate = image(4, 49, 10, 1), 0.25
    networks = {r: build(small_config("ds_cnn_s", stem_dropout=r), 10) for r in (0.0, rate)}

    @quick
    def run(x):
        variables = networks[0.0].init(KEYS, x, False)
        given = dict(rngs={"dropout": KEYS["dropout"]}, mutable=True, capture_intermediates=True)
        found = {}
        for r, network in networks.items():
            for train in (False, True):
                logits, state = network.apply(variables, x, train, **given)
                found[r, train] = logits, state["intermediates"]["Dropout_0"]["__call__"][0]
        return found

    found = run(x)
    np.testing.assert_array_equal(found[rate, False][0], found[0.0, False][0])
    (_, stem), (_, dropped) = found[0.0, True], found[rate, True]
    assert stem.shape == (4, 25, 5, 8)
    kept = np.asarray(dropped) != 0
    np.testing.assert_allclose(dropped[kept], stem[kept] / (1 - rate), rtol=1e-6)
    assert kept[np.asarray(stem) != 0].mean() == pytest.approx(1 - rate, abs=0.05)
    shapes = [abstract(small_config("ds_cnn_s", stem_dropout=r), x.shape)[1] for r in networks]
    assert shapes[0] == shapes[1]


def test_stochastic_depth_drops_branches_in_training():
    x = image(*SHAPE)

    @quick
    def run(x):
        outputs = []
        for rate in (0.0, 0.9):
            module = build(small_config("resnet20", stochastic_depth=rate, norm="none"), 10)
            variables = module.init(KEYS, x, False)
            rngs = {"dropout": KEYS["dropout"]}
            outputs.append(
                [module.apply(variables, x, train, rngs=rngs) for train in (False, True)]
            )
        return outputs

    (off, on), (dropped_off, dropped_on) = run(x)
    np.testing.assert_array_equal(off, on)
    np.testing.assert_array_equal(off, dropped_off)
    assert np.abs(dropped_on - off).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("resnt20", {}, "model.name: unknown network 'resnt20': did you mean 'resnet20'"),
        ("plain", {"downsample": "maxx"}, "model.downsample: unknown operator 'maxx'"),
        ("plain", {"head": "avgg"}, "model.head: unknown head 'avgg': did you mean 'avg'"),
        ("resnet20", {"stem": "imgnet"}, "model.stem: unknown 'imgnet': did you mean 'imagenet'"),
        ("resnet20", {"shortcut": "b"}, "model.shortcut: unknown 'b'"),
        ("resnet20", {"depths": (1,)}, "model.depths: .* has 1 stages, but model.features"),
        ("plain", {"features": (8, 0)}, "model.features: .* are not all positive integers"),
        ("mobilenet_v2", {"features": (8,) * 8, "depths": (1,) * 8}, "at most 7 stages"),
        (
            "resnet20",
            {"shortcut_downsample": "strided_conv"},
            "model.shortcut_downsample: 'strided_conv' needs a convolution on the shortcut; set",
        ),
        ("resnet18", {"stem_downsample": "strided_conv"}, "model.stem_downsample: .* no effect"),
        ("resnet20", {"downsample": "none"}, "use operators with the same output size"),
        ("resnet20", {"padding": "VALID"}, "use operators with the same output size"),
        ("wrn40_2", {"shortcut": "pad", "features": (8, 4), "depths": (1, 1)}, "'pad' only adds"),
        ("plain", {"downsample": "max(window=32)", "padding": "VALID"}, r"window: \(32, 32\)"),
        ("plain", {"downsample": "aps", "padding": "CIRCULAR", "features": (4,) * 5}, "divisible"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(name, fields, message):
    with pytest.raises(UserError, match=message) as error:
        abstract(model_config(name, **fields))
    assert "\n" not in str(error.value)


def test_fields_that_a_network_does_not_read_are_refused():
    config = get_config()
    for name, norm, fields, words in (
        ("resnet20", "", {"model.shortcut", "model.ghost_batch", "train.duration"}, ""),
        (
            "plain",
            "",
            {"model.shortcut"},
            r"model.shortcut: .* model.name=plain; leave it",
        ),
        ("convnext_t", "", {"model.ghost_batch"}, r"model.ghost_batch: .* with model.norm=layer"),
        ("convnext_t", "batch", {"model.ghost_batch", "model.norm"}, ""),
        ("vgg11", "", {"model.norm_epsilon"}, r"model.norm_epsilon: .* with model.norm=none"),
    ):
        config.model.update(name=name, norm=norm)
        refused = pytest.raises(UserError, match=words) if words else nullcontext()
        with refused:
            check_read(config, fields)


@pytest.mark.parametrize("operator", [n for n, o in DOWNSAMPLERS.items() if 1 in o.ndims])
def test_every_operator_reduces_a_network_on_waves(operator):
    fields = {"features": (4, 8), "depths": (1, 1), "downsample": operator}
    model = model_config("m11", stem_downsample="max(window=4)", **fields)
    logits, variables = abstract(model, (2, 512, 1))
    assert logits.shape == (2, 10)
    assert all(len(s) <= 3 for s in parameters(variables).values())
