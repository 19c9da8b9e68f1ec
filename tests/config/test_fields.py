"""What fields may hold and who reads them, which follows from the registries."""

import pytest

from cnn.config.base import FIELDS, get_config
from cnn.config.call import parse_call
from cnn.config.check import check_read
from cnn.config.errors import UserError
from cnn.config.registry import Registry, registries


def test_every_entry_reads_existing_fields():
    for registry in registries():
        assert set(registry.fields) <= set(FIELDS)
        for name in registry:
            section = registry.fields[0].rpartition(".")[0] if registry.fields else ""
            for read in registry.reads(name):
                full = (read, f"{section}.{read}")
                assert any(f.startswith(full) for f in FIELDS), (registry.kind, name, read)


def test_conditions_name_existing_fields_and_values():
    for name, field in FIELDS.items():
        field.check(field.default, name)
        selector, _, values = field.when.partition("=")
        if selector:
            switch = isinstance(FIELDS[selector].default, bool)
            choices = ("True", "False") if switch else FIELDS[selector].choices
            assert set(values.split("|")) <= set(choices)


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
    registry = Registry("thing")
    registry.add("max_blur", 1)
    assert registry.look_up("max_blur", "f") == 1
    with pytest.raises(ValueError, match="twice"):
        registry.add("max_blur", 2)
    with pytest.raises(UserError, match=r"f: unknown thing 'maxblur': did you mean 'max_blur'"):
        registry.look_up("maxblur", "f")


def test_fields_of_another_signal_are_refused():
    config = get_config()
    for signal, field in (("image", "data.sound.fft"), ("image", "augment.time_masks")):
        with pytest.raises(UserError, match=rf"{field}: has no effect with data\.signal={signal}"):
            check_read(config, [field])
    config.data.signal = "sound"
    check_read(config, ["data.sound.fft", "augment.time_masks", "augment.mixup"])
    with pytest.raises(UserError, match=r"augment\.flip: has no effect with data\.signal=sound"):
        check_read(config, ["augment.flip"])
