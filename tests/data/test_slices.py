import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn.config.errors import UserError
from cnn.data.sources.slices import parse_split


@pytest.mark.parametrize(
    ("expression", "base", "expected"),
    [
        ("train", "train", range(15)),
        ("train[:]", "train", range(15)),
        ("train[:50%]", "train", range(8)),  # 7.5, to the nearest even number
        ("train[90%:]", "train", range(14, 15)),  # 13.5
        ("train[-10%:]", "train", range(13, 15)),  # -1.5
        ("train[2:5]", "train", range(2, 5)),
        ("train[-3:]", "train", range(12, 15)),
        ("train[:999]", "train", range(15)),
        ("a/b.c[ 1 : 2 ]", "a/b.c", range(1, 2)),
        ("train[5:2]", "train", range(5, 5)),
    ],
)
def test_what_an_expression_means(expression, base, expected):
    part = parse_split(expression, "data.train_split")
    assert part.base == base
    assert part.range(15) == expected


@given(st.integers(0, 100), st.integers(1, 10_000))
def test_two_slices_at_one_percentage_share_no_example_and_leave_none_out(percent, num_examples):
    first = parse_split(f"train[:{percent}%]", "f").range(num_examples)
    second = parse_split(f"train[{percent}%:]", "f").range(num_examples)
    assert [*first, *second] == list(range(num_examples))


@pytest.mark.parametrize(
    "expression", ["", "train[", "train[1]", "train+test", "train[a:b]", "[:5]"]
)
def test_other_expressions_are_refused(expression):
    with pytest.raises(UserError, match=r"data\.test_split: '.*' is not a split"):
        parse_split(expression, "data.test_split")
