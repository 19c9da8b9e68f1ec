"""Names with options: how they are cut apart, and what is refused."""

from typing import Annotated, Literal

import pytest

from cnn.config.call import (
    check_options,
    options_of,
    parse_call,
    signature,
    split_calls,
)
from cnn.config.errors import UserError
from cnn.config.fields import Interval
from cnn.layers import DOWNSAMPLERS


def test_lists_are_cut_outside_of_brackets():
    assert split_calls("a, b(c=1, d=(2, 3)),,e") == ["a", "b(c=1, d=(2, 3))", "e"]
    assert split_calls(" , ") == []


def test_a_call_and_its_signature_agree():
    def function(x, *, one=1, two=(2.0,)):
        return x

    defaults = {name: option.default for name, option in options_of(function).items()}
    text = signature("f", defaults)
    assert text == "f(one=1, two=(2.0,))"
    assert parse_call(text, "field") == ("f", {"one": 1, "two": (2.0,)})
    assert signature("g", {}) == "g"


def measure(
    *,
    images: int = 0,
    parts: int = 4,
    all: Annotated[int, Interval("[0, 9]")] = 5,
    share: Annotated[float, Interval("[0, 1)")] = 0.5,
    mode: Literal["a", "b"] = "a",
    sizes: tuple[int, ...] = (),
):
    """Has an option of each kind."""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": 3}, "did you mean 'images'"),
        ({"images": 1.5}, "1.5 is not an integer"),
        ({"images": True}, "True is not an integer"),
        ({"images": -1}, r"allowed: \[0, "),
        ({"parts": 0}, r"allowed: \[1, "),
        ({"all": -1}, r"allowed: \[0, "),
        ({"share": 2.0}, r"2\.0 is out of range; allowed: \[0, 1\)"),
        ({"share": float("nan")}, "nan is out of range"),
        ({"mode": "c"}, "unknown 'c': .*allowed: a, b"),
        ({"sizes": (1, 0)}, "0 is out of range"),
        ({"sizes": 3}, "not several values"),
    ],
)
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        check_options("f", options, options_of(measure), "--field")


def test_what_has_no_options_says_so():
    with pytest.raises(UserError, match="'f' has no option 'a'; it has none"):
        check_options("f", {"a": 1}, {}, "--field")


def test_what_may_be_had():
    given = {"images": 0, "all": 0, "share": 0, "mode": "b", "sizes": ()}
    check_options("f", given, options_of(measure), "--field")


def test_a_whole_number_given_for_a_real_one_becomes_one():
    huge = "diff_stride(smoothness=9223372036854775808)"
    assert DOWNSAMPLERS.parse(huge, "model.downsample") == ("diff_stride", {"smoothness": 2.0**63})
    name, options = DOWNSAMPLERS.parse("max(window=3)", "model.downsample")
    assert (name, options, type(options["window"])) == ("max", {"window": 3}, int)


def test_an_option_given_twice_is_refused():
    with pytest.raises(UserError, match=r"field: 'f\(one=1, one=2\)' is not a name"):
        parse_call("f(one=1, one=2)", "field")
