import json

import pytest

from cnn.config.errors import UserError
from cnn.config.load import apply_override, load
from cnn.config.record import FREE_FIELDS, differences, fingerprint, from_plain, to_plain


def loaded(*overrides):
    return load("configs/cifar10_resnet20.py", overrides).config


def test_a_config_survives_json_with_its_types():
    config = loaded("augment.random_resized_crop=0.2,1.0")
    back = from_plain(json.loads(json.dumps(to_plain(config))))
    assert back == config
    assert back.augment.random_resized_crop == (0.2, 1.0)
    assert back.is_locked


def test_the_fingerprint_follows_what_is_computed_and_nothing_else():
    config = loaded()
    assert fingerprint(loaded()) == fingerprint(config)
    assert fingerprint(loaded("seed=1")) != fingerprint(config)
    for field, value in {
        "data.workers": "9",
        "data.data_dir": "/x",
        "checkpoint.keep": "3",
    }.items():
        assert field in FREE_FIELDS
        assert fingerprint(loaded(f"{field}={value}")) == fingerprint(config)


def test_differences_name_field_and_both_values():
    other = loaded("seed=1", "data.workers=9")
    assert differences(loaded(), other) == ["seed: 0 -> 1"]


def test_a_config_of_another_version_is_refused():
    plain = to_plain(loaded())
    plain["model"]["depht"] = 3
    with pytest.raises(UserError, match=r"model\.depht"):
        from_plain(plain)


def test_an_override_of_a_tuple_is_a_tuple():
    config = from_plain(to_plain(loaded()))
    apply_override(config, "model.features=8")
    assert config.model.features == (8,)


def test_fields_of_other_signals_leave_the_fingerprint_as_it_is():
    config = loaded()
    with config.unlocked():
        config.data.sound.fft = 99
        config.augment.time_shift = 0.5
    assert fingerprint(config) == fingerprint(loaded())
    with config.unlocked():
        config.data.signal = "sound"
    on_sound = fingerprint(config)
    with config.unlocked():
        config.data.sound.fft = 98
        config.augment.flip = not config.augment.flip
    assert len({on_sound, fingerprint(config), fingerprint(loaded())}) == 3
