"""No operator without card and oracle, and docs/operators.md says what the cards say."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from cnn.config.errors import UserError
from cnn.layers import (
    ACTIVATIONS,
    DOWNSAMPLERS,
    HEADS,
    Downsample,
    DownsamplingConv,
    Head,
    Style,
)
from cnn.layers.__main__ import main
from cnn.layers.cards import card_lines, markdown, signature
from cnn.layers.downsample import Card, Operator
from tests.conftest import REPOSITORY
from tests.layers.cases import KEYS
from tests.ops import oracles, oracles_frequency, oracles_random, oracles_windowed

ORACLES = (
    oracles.ORACLES | oracles_frequency.ORACLES | oracles_random.ORACLES | oracles_windowed.ORACLES
)
ENTRIES = [(name, entry) for registry in (DOWNSAMPLERS, HEADS) for name, entry in registry.items()]
# Options with which all that the card names is computed.
WHOLE = {"aps": "aps(taps=3)", "max_aps": "max_aps(taps=3)", "flatten": "flatten(grid=2)"}
# Shapes, checks and dtypes: nothing that an oracle would compute otherwise.
NO_ARITHMETIC = {"per_axis", "check_power"}
# What computes nothing needs no second opinion.
WITHOUT_ORACLE = {"none", "dilated"}


@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=lambda value: str(value)[:20])
def test_every_entry_has_a_card_and_its_oracles(name, entry):
    card = entry.card
    assert all([card.formula, card.reference, card.parameters, card.macs, card.pitfalls])
    assert bool(card.oracle) != (name in WITHOUT_ORACLE)
    assert set(card.oracle) <= set(ORACLES)


def called_by_layers(layer, shape):
    """Returns the functions of `cnn.ops` that the layers call while a layer is traced."""
    found = set()

    def note(frame, event, argument):
        caller = frame.f_back
        if event == "call" and "/cnn/ops/" in frame.f_code.co_filename:
            while caller and "/cnn/" not in caller.f_code.co_filename:
                caller = caller.f_back
            name = frame.f_code.co_name
            if caller and "/cnn/layers/" in caller.f_code.co_filename and name[0] != "<":
                found.add(name)

    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    jax.clear_caches()
    sys.setprofile(note)
    try:
        jax.eval_shape(lambda x: layer.init_with_output(KEYS, x, True), x)
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=lambda value: str(value)[:20])
def test_an_entry_computes_with_its_oracles_and_nothing_else(name, entry):
    registry = DOWNSAMPLERS if DOWNSAMPLERS.get(name) is entry else HEADS
    text = WHOLE.get(name, name)
    if registry is HEADS:
        layer = Head(text, 0, Style())
    elif entry.on_conv:
        layer = DownsamplingConv(8, 3, Style(norm="none"), text)
    else:
        layer = Downsample(text, 2, Style(norm="none"))
    found = called_by_layers(layer, (2, 6, 6, 8))
    # The site's own convolution is no part of what comes before it; heads have no convolution.
    expected = set(entry.card.oracle) | ({"conv"} if entry.on_conv else set())
    assert found - NO_ARITHMETIC == expected


def test_docs_are_current():
    current = (REPOSITORY / "docs" / "operators.md").read_text()
    assert current == markdown(), "run: python -m cnn.layers --markdown > docs/operators.md"


def test_the_command_lists_every_entry(capsys):
    main([])
    lines = capsys.readouterr().out.splitlines()
    for name, entry in ENTRIES:
        start = f"  {signature(name, entry.defaults())} "
        assert any(x.startswith(start) and entry.card.formula in x for x in lines), name


def test_the_command_prints_one_card(capsys):
    main(["max_blur"])
    printed = capsys.readouterr().out
    card = DOWNSAMPLERS["max_blur"].card
    assert all(words in printed for words in (card.formula, card.reference, card.pitfalls))
    assert "conv_pool" not in printed
    # The operator and the head of a name.
    main(["gem"])
    assert "model.head" in capsys.readouterr().out
    with pytest.raises(
        UserError, match="unknown operator or head 'simpol': did you mean 'simpool'"
    ):
        main(["simpol"])


def test_the_site_of_an_entry_is_not_made_up():
    card = Card("y = x", "none")
    assert dict(card_lines(Operator(None, card)))["used"] == "n/a"
    assert dict(card_lines(HEADS["avg"]))["used"] == "the last pooling before the classifier"


@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=lambda value: str(value)[:20])
def test_weight_decay_leaves_what_is_no_kernel(name, entry):
    registry = DOWNSAMPLERS if DOWNSAMPLERS.get(name) is entry else HEADS
    x = jax.ShapeDtypeStruct((2, 6, 6, 8), jnp.float32)
    layer = Head(name, 3, Style()) if registry is HEADS else DownsamplingConv(8, 3, Style(), name)
    params = jax.eval_shape(lambda x: layer.init(KEYS, x, False), x)["params"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if path[-1].key == "kernel":
            # Of a convolution or linear map, not of the entry itself: those are not shrunk to 0.
            owner = path[-2].key if len(path) > 1 else "head"
            assert owner not in ("head", "downsample"), path
            assert leaf.ndim in (2, 4), path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("maxblur", "unknown operator 'maxblur': did you mean 'max_blur'"),
        ("max(windw=3)", "'max' has no option 'windw'; did you mean 'window'"),
        ("none(window=3)", "'none' has no option 'window'; it has none"),
        ("max(window='3')", "window of 'max': '3' is not an integer"),
        ("gem(p='x')", "p of 'gem': 'x' is not a number"),
    ],
)
def test_mistakes_in_an_operator_are_refused(text, message):
    with pytest.raises(UserError) as error:
        DOWNSAMPLERS.parse(text, "model.downsample")
    assert str(error.value).startswith("model.downsample: ")
    assert message in str(error.value)


def test_a_whole_number_is_a_float_too():
    assert DOWNSAMPLERS.parse("gem(p=3)", "f") == ("gem", {"p": 3})


def test_activations_are_those_of_jax_nn():
    assert all(callable(getattr(jax.nn, name)) for name in ACTIVATIONS if name != "gelu_exact")
    x = np.linspace(-4, 4, 33, dtype=np.float32)
    wanted = x * scipy.special.ndtr(x.astype(np.float64))
    np.testing.assert_allclose(Style(activation="gelu_exact").activate(x), wanted, atol=1e-6)
    assert np.abs(Style(activation="gelu").activate(x) - wanted).max() > 1e-4
    with pytest.raises(
        UserError, match=r"model.activation: unknown activation 'rellu': did you mean 'relu'"
    ):
        Style(activation="rellu")
    with pytest.raises(UserError, match=r"model.norm: unknown norm 'bach': did you mean 'batch'"):
        Style(norm="bach")
