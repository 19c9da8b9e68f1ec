"""What every operator over windows promises: values, types, gradients, batches and dimensions.

To add an operator: one line in `CASES`, called as op(x, window, strides, padding, **arrays) on both
sides. (What is special about an operator is tested beside its module's name.)
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import cnn.ops
import tests.ops
from cnn.ops.adaptive import adaptive_blur
from cnn.ops.average import avg_pool
from cnn.ops.convolution import conv, depthwise_conv
from cnn.ops.max_pool import max_pool
from cnn.ops.median import median_pool
from cnn.ops.mixed import gated_pool, mixed_pool, tree_pool
from cnn.ops.weighted import gem_pool, lip, lp_pool, soft_pool

# (spatial, window, strides, padding): odd, tiny, overlapping, ragged, of unequal axes. The windows
# are small because compile time goes with their elements.
GEOMETRIES = [
    ((7,), (3,), (2,), "SAME"),
    ((1,), (1,), (2,), "VALID"),
    ((5, 6), (2, 3), (2, 1), "SAME"),
    ((5, 4), (2, 2), (2, 2), "torch"),
    ((3, 4), (2, 2), (1, 2), "CIRCULAR"),
    ((3, 4), (2, 2), (1, 2), ((1, 0), (0, 1))),
    ((1, 1), (2, 2), (2, 2), "SAME"),
    ((2, 3, 2), (2, 2, 1), (2, 1, 1), "REFLECT"),
]
# What the slower checks take.
SOME = [GEOMETRIES[0], GEOMETRIES[4]]


def label(geometry):
    return " ".join(map(str, geometry))


def of_window(rng, spatial, window, out):
    return {"kernel": rng.normal(size=(*window, 3))}


def dense(rng, spatial, window, out):
    return {"kernel": rng.normal(size=(*window, 3, 4))}


def shared_gate(rng, spatial, window, out):
    return {"gate": rng.normal(size=window)}


def filters(rng, spatial, window, out):
    return {"leaves": rng.normal(size=(2, *window, 3)), "gates": rng.normal(size=(1, *window))}


def importance(rng, spatial, window, out):
    return {"logits": rng.normal(size=(2, *spatial, 3))}


def filter_logits(rng, spatial, window, out):
    return {"logits": rng.normal(size=(2, *out, 3, int(np.prod(window))))}


@dataclass(frozen=True)
class Case:
    """An operator as it is called here.

    Attributes:
      op: the function of cnn.ops.
      call: (op or its oracle, x, window, strides, padding, **arrays) -> y.
      arrays: further differentiable inputs.
      positive: the input is between 1/2 and 2, not normal.
    """

    op: Callable
    call: Callable = lambda f, x, k, s, p: f(x, k, s, p)
    arrays: Callable = lambda rng, spatial, window, out: {}
    positive: bool = False


CASES = {
    "max": Case(max_pool),
    "average": Case(avg_pool),
    "average with padding": Case(avg_pool, lambda f, x, k, s, p: f(x, k, s, p, count_padding=True)),
    "median": Case(median_pool),
    "convolution": Case(conv, lambda f, x, k, s, p, kernel: f(x, kernel, s, p), dense),
    "depthwise": Case(depthwise_conv, lambda f, x, k, s, p, kernel: f(x, kernel, s, p), of_window),
    "adaptive blur": Case(
        adaptive_blur, lambda f, x, k, s, p, logits: f(x, k, s, p, logits=logits), filter_logits
    ),
    "LIP": Case(lip, lambda f, x, k, s, p, logits: f(x, logits, k, s, p), importance),
    "SoftPool": Case(soft_pool),
    "L3": Case(lp_pool, lambda f, x, k, s, p: f(x, k, s, p, p=3.0), positive=True),
    "GeM": Case(gem_pool, lambda f, x, k, s, p: f(x, k, s, p, p=3.0), positive=True),
    "mixed": Case(mixed_pool, lambda f, x, k, s, p: f(x, k, s, p, share=0.3)),
    "gated": Case(gated_pool, lambda f, x, k, s, p, gate: f(x, gate, s, p), shared_gate),
    "tree": Case(
        tree_pool,
        lambda f, x, k, s, p, leaves, gates: f(x, list(leaves), list(gates), s, p),
        filters,
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def all_oracles():
    """Returns the oracles of all modules of that name, by the name of their operator."""
    found = {}
    for module in pkgutil.iter_modules(tests.ops.__path__):
        if module.name.startswith("oracles"):
            found |= importlib.import_module(f"tests.ops.{module.name}").ORACLES
    return found


def inputs(case, geometry, dtype, seed=0):
    """Returns x `[2, *spatial, 3]` and the arrays of a case, rounded to a type."""
    spatial, window, strides, padding = geometry
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *spatial, 3))
    x = np.exp(np.clip(x, -0.7, 0.7)) if case.positive else x
    out = all_oracles()["max_pool"](x, window, strides, padding).shape[1:-1]
    arrays = case.arrays(rng, spatial, window, out)
    return jax.tree.map(lambda a: jnp.asarray(a, dtype), (x, arrays))


def outputs(case, geometries):
    """Returns a function of all inputs that gives the outputs, to be compiled once."""
    return lambda drawn: [
        case.call(case.op, x, *g[1:], **arrays)
        for g, (x, arrays) in zip(geometries, drawn, strict=True)
    ]


@every_case
def test_values_in_float32_and_bfloat16(case):
    oracle = all_oracles()[case.op.__name__]
    drawn = {d: [inputs(case, g, d) for g in GEOMETRIES] for d in ("float32", "bfloat16")}
    run = outputs(case, GEOMETRIES)
    found = jax.jit(lambda drawn: {dtype: run(each) for dtype, each in drawn.items()})(drawn)
    for dtype, bound in (("float32", 5e-6), ("bfloat16", 2**-7)):
        for geometry, (x, arrays), y in zip(GEOMETRIES, drawn[dtype], found[dtype], strict=True):
            x, arrays = jax.tree.map(lambda a: np.asarray(a, np.float64), (x, arrays))
            expected = case.call(oracle, x, *geometry[1:], **arrays)
            assert y.dtype == dtype
            assert y.shape == expected.shape, label(geometry)
            error = np.abs(np.asarray(y, np.float64) - expected).max()
            assert error <= bound * max(np.abs(expected).max(), 1), (dtype, label(geometry))


@every_case
def test_gradients_are_those_of_finite_differences(case):
    with jax.enable_x64(True):
        drawn = [inputs(case, g, "float64") for g in SOME]
        run = jax.jit(outputs(case, SOME))
        assert {y.dtype for y in run(drawn)} == {jnp.dtype("float64")}
        check_grads(run, (drawn,), order=1, modes=["rev"], atol=1e-6, rtol=1e-6, eps=1e-6)


@every_case
def test_vmap_is_a_loop(case):
    geometry = GEOMETRIES[4]
    arrays = inputs(case, geometry, "float32")[1]
    x = jnp.stack([inputs(case, geometry, "float32", seed)[0] for seed in (1, 2)])

    def value_and_gradient(x):
        y, pull = jax.vjp(lambda x: case.call(case.op, x, *geometry[1:], **arrays), x)
        return y, pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))[0]

    @jax.jit
    def both_ways(x):
        looped = [value_and_gradient(one) for one in x]
        return jax.vmap(value_and_gradient)(x), jax.tree.map(lambda *a: jnp.stack(a), *looped)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), *both_ways(x))


@every_case
def test_dimensions_agree(case):
    """With further axes of length 1 the operator is that of fewer dimensions."""
    x, arrays = inputs(case, ((7,), (3,), (2,), "SAME"), "float32")

    @jax.jit
    def in_all_dimensions(x, arrays):
        found = []
        for extra in (0, 1, 2):
            ones = (1,) * extra
            longer = {name: insert(name, a, ones) for name, a in arrays.items()}
            y = case.call(
                case.op, x.reshape(2, 7, *ones, 3), (3, *ones), (2, *ones), "SAME", **longer
            )
            found.append(y.reshape(y.shape[0], 4, y.shape[-1]))
        return found

    one, *others = in_all_dimensions(x, arrays)
    for other in others:
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


def insert(name, array, ones):
    """Appends axes of length 1 to the one spatial axis of an array of a case."""
    place = 2 if name in ("logits", "leaves", "gates") else 1
    return array.reshape(*array.shape[:place], *ones, *array.shape[place:])


def test_every_operator_has_an_oracle():
    """Functions with a summary in cnn.ops that map arrays to arrays, but for what they share."""
    shared = {"padding", "windows", "precision"}
    operators = {
        name
        for module in pkgutil.iter_modules(cnn.ops.__path__)
        if module.name not in shared
        for name, function in vars(importlib.import_module(f"cnn.ops.{module.name}")).items()
        if inspect.isfunction(function)
        and function.__module__ == f"cnn.ops.{module.name}"
        and not name.startswith("_")
        and next(iter(inspect.signature(function).parameters)) == "x"
    }
    assert operators
    assert not operators - {"apply_along"} - set(all_oracles())  # a product with any matrix
