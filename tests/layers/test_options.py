"""Options of operators and heads: every value either works or is refused in one sentence."""

import jax
import jax.numpy as jnp
import pytest

from cnn.config.errors import UserError
from cnn.layers import DOWNSAMPLERS, HEADS, DownsamplingConv, Head, Style

KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
OPTIONS = [
    pytest.param(registry, name, option, default, id=f"{registry.kind}-{name}-{option}")
    for registry in (DOWNSAMPLERS, HEADS)
    for name, entry in registry.items()
    for option, default in entry.defaults().items()
]
NONSENSE = {int: (-1, 0), float: (0.0, -1.0), str: ("nonsense",), tuple: ((0,), (1.5,), ("a",))}
OTHER_TYPES = {
    int: (True, 1.5, "2", (2,)),
    float: (True, "2.0", None),
    str: (2, None),
    bool: (1, "True"),
    tuple: (3, [3]),
}


def layer(registry, text):
    if registry is HEADS:
        return Head(text, 3, Style())
    return DownsamplingConv(8, 3, Style(), text)


def shape_of(registry, text):
    x = jax.ShapeDtypeStruct((2, 6, 6, 8), jnp.float32)
    y, _ = jax.eval_shape(lambda x: layer(registry, text).init_with_output(KEYS, x, True), x)
    return jax.tree.leaves(y)[0].shape


@pytest.mark.parametrize(("registry", "name", "option", "default"), OPTIONS)
def test_values_without_meaning_are_refused(registry, name, option, default):
    for value in NONSENSE.get(type(default), ()):
        if value == default:
            continue
        text = f"{name}({option}={value!r})"
        with pytest.raises(UserError) as error:
            pytest.fail(f"{text} gave {shape_of(registry, text)}")
        assert "\n" not in str(error.value)
        one = value[0] if isinstance(value, tuple) else value
        assert str(one) in str(error.value)


@pytest.mark.parametrize(("registry", "name", "option", "default"), OPTIONS)
def test_values_of_other_types_are_refused(registry, name, option, default):
    for value in OTHER_TYPES[type(default)]:
        message = rf"f: {option} of '{name}': .* is not .*type ({type(default).__name__}|int)"
        with pytest.raises(UserError, match=message):
            registry.parse(f"{name}({option}={value!r})", "f")


@pytest.mark.parametrize(("registry", "name", "option", "default"), OPTIONS)
def test_the_default_can_be_written_out(registry, name, option, default):
    text = f"{name}({option}={default!r})"
    assert registry.parse(text, "f") == (name, {option: default})
    assert shape_of(registry, text) == shape_of(registry, name)


def test_a_number_of_elements_begins_where_its_default_says():
    assert DOWNSAMPLERS.parse("aps(taps=0)", "f") == ("aps", {"taps": 0})
    with pytest.raises(UserError, match=r"f: taps of 'aps': -1 is out of range; allowed: \[0, "):
        DOWNSAMPLERS.parse("aps(taps=-1)", "f")
    with pytest.raises(UserError, match=r"f: window of 'max': 0 is out of range; allowed: \[1, "):
        DOWNSAMPLERS.parse("max(window=0)", "f")
