import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn.config.durations import is_due, to_examples, to_steps
from cnn.config.errors import UserError

SIZES = {"batch_size": 100, "examples": 50_000}


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("500 steps", 500),
        ("1 step", 1),
        ("10 epochs", 5000),
        ("0.5 epochs", 250),
        ("50001 examples", 501),
        ("1e3 examples", 10),
        ("5%", 50),
        ("0.7%", 7),  # 7.000000000000001 as floats are multiplied
        ("0.07 epochs", 35),
        ("0 steps", 0),
    ],
)
def test_every_unit(text, steps):
    assert to_steps(text, "f", **SIZES, total=1000) == steps


def test_a_part_of_a_step_is_a_step():
    assert to_steps("1 epochs", "f", batch_size=128, examples=50_000) == 391


@given(st.integers(1, 10_000), st.integers(1, 512), st.integers(1, 100_000))
def test_whole_epochs_are_exact(epochs, batch_size, examples):
    wanted = -(-epochs * examples // batch_size)
    assert to_steps(f"{epochs} epochs", "f", batch_size=batch_size, examples=examples) == wanted


@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(1, 10**6), st.integers(1, 512))
def test_decimals_are_exact(digits, places, whole, batch_size):
    text = f"{digits // 10**places}.{digits % 10**places:0{places}}" if places else f"{digits}"
    amount = Fraction(digits, 10**places)
    sizes = {"batch_size": batch_size, "examples": whole}
    wanted = {
        "%": amount * whole / 100,
        "epochs": amount * whole / batch_size,
        "examples": amount / batch_size,
        "steps": amount,
    }
    for unit, steps in wanted.items():
        assert to_steps(f"{text} {unit}", "f", **sizes, total=whole) == math.ceil(steps)


@pytest.mark.parametrize("text", ["", "10", "ten epochs", "5 minutes", "-1 steps", "nan epochs"])
def test_what_is_no_duration_is_refused_with_the_field(text):
    with pytest.raises(UserError, match=r"train\.duration: '.*' is not a duration"):
        to_steps(text, "train.duration", **SIZES)


def test_a_percentage_needs_a_whole():
    with pytest.raises(UserError, match="is relative"):
        to_steps("5%", "train.duration", **SIZES)


@given(st.integers(1, 300), st.integers(0, 100))
def test_due_at_every_multiple_and_once_at_the_end(total, every):
    due = [s for s in range(1, total + 1) if is_due(s, every, total)]
    multiples = set(range(every, total + 1, every)) if every else set()
    assert due == sorted(multiples | {total})


def test_examples_of_a_split():
    assert to_examples("10%", "f", examples=10_000) == 1000
    assert to_examples("5000 examples", "f", examples=50_000) == 5000
    with pytest.raises(UserError, match="a percentage or a number of examples"):
        to_examples("2 epochs", "f", examples=10)
