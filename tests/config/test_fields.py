"""The tables that are checked before jax is imported agree with the registries behind it."""

import pytest

from cnn.config.call import parse_call
from cnn.config.errors import UserError
from cnn.config.fields import (
    CHOICES,
    DURATIONS,
    OF_SIGNAL,
    RANGES,
    READ_BY,
    check_read,
    leaves,
)
from cnn.config.registry import Registry
from cnn.data import SIGNALS, SOURCES
from cnn.layers import NORMS
from cnn.training.optimizer import OPTIMIZERS, SCHEDULES
from configs import base


def test_choices_are_the_registries():
    assert set(CHOICES["optimizer.name"]) == set(OPTIMIZERS)
    assert set(CHOICES["schedule.name"]) == set(SCHEDULES)
    assert set(CHOICES["data.source"]) == set(SOURCES)
    assert set(CHOICES["data.signal"]) == set(SIGNALS)
    assert set(CHOICES["model.norm"]) == {"", *NORMS}


def test_every_table_names_existing_fields():
    names = {name for name, _ in leaves(base.get_config())}
    tables = [*CHOICES, *RANGES, *DURATIONS, *READ_BY]
    assert set(tables) <= names
    for selector, readers in READ_BY.values():
        assert readers <= set(CHOICES[selector])


def test_parse_call():
    assert parse_call("max", "f") == ("max", {})
    assert parse_call("max_blur(taps=4, dialect='adobe')", "f") == (
        "max_blur",
        {"taps": 4, "dialect": "adobe"},
    )


@pytest.mark.parametrize("text", ["", "max(", "max(3)", "max(window=x)", "a.b", "3"])
def test_what_is_no_call_is_refused(text):
    with pytest.raises(UserError, match=r"model\.downsample: "):
        parse_call(text, "model.downsample")


def test_a_registry_refuses_doubles_and_helps_with_typos():
    registry = Registry("operator")
    registry.add("max_blur", 1)
    assert registry.look_up("max_blur", "f") == 1
    with pytest.raises(ValueError, match="twice"):
        registry.add("max_blur", 2)
    with pytest.raises(UserError, match=r"f: unknown operator 'maxblur': did you mean 'max_blur'"):
        registry.look_up("maxblur", "f")


def test_fields_of_another_signal_are_refused():
    config = base.get_config()
    assert set(OF_SIGNAL) <= {name for name, _ in leaves(config)}
    for signal, field in (("image", "data.sound.fft"), ("image", "augment.time_masks")):
        with pytest.raises(UserError, match=rf"{field}: has no effect with data\.signal={signal}"):
            check_read(config, [field])
    config.data.signal = "sound"
    check_read(config, ["data.sound.fft", "augment.time_masks", "augment.mixup"])
    with pytest.raises(UserError, match=r"augment\.flip: has no effect with data\.signal=sound"):
        check_read(config, ["augment.flip"])
