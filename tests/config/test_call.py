"""Names with options: how they are cut apart, and what is refused."""

import pytest

from cnn.config.call import check_options, defaults_of, parse_call, signature, split_calls
from cnn.config.errors import UserError


def test_lists_are_cut_outside_of_brackets():
    assert split_calls("a, b(c=1, d=(2, 3)),,e") == ["a", "b(c=1, d=(2, 3))", "e"]
    assert split_calls(" , ") == []


def test_a_call_and_its_signature_agree():
    def function(x, *, one=1, two=(2.0,)):
        return x

    text = signature("f", defaults_of(function))
    assert text == "f(one=1, two=(2.0,))"
    assert parse_call(text, "field") == ("f", {"one": 1, "two": (2.0,)})
    assert signature("g", {}) == "g"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": 3}, "did you mean 'images'"),
        ({"images": 1.5}, "not of type int"),
        ({"images": True}, "not of type int"),
        ({"images": -1}, "from 0 up"),
        ({"parts": 0}, "from 1 up"),
    ],
)
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(UserError, match=words):
        check_options("f", options, {"images": 0, "parts": 4}, "--field")


def test_what_has_no_options_says_so():
    with pytest.raises(UserError, match="'f' has no option 'a'; it has none"):
        check_options("f", {"a": 1}, {}, "--field")


def test_zero_where_it_means_something():
    check_options("f", {"images": 0, "tiles": 0}, {"images": 5, "tiles": 0}, "--field", ("images",))
    with pytest.raises(UserError, match="from 1 up"):
        check_options("f", {"parts": 0}, {"parts": 5}, "--field", ("images",))
