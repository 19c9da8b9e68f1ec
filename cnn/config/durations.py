"""Durations: "10 epochs", "500 steps", "64000 examples" or "5%"."""

import math
import re
from fractions import Fraction

from cnn.config.errors import UserError

_LONGEST = 1e15
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]+)?)\s*(steps?|epochs?|examples?|%)\s*")


def parse_duration(text: str, field: str) -> tuple[Fraction, str]:
    """Splits a duration into its exact amount and its unit: "step", "epoch", "example" or "%".

    Raises:
      UserError: the text is not an amount with one of the four units.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise UserError(
            f"{field}: '{text}' is not a duration; write an amount and a unit, "
            "like '10 epochs', '500 steps', '64000 examples' or '5%'"
        )
    # As a float first: of 1e999999999 all digits would be written out.
    if float(match[1]) > _LONGEST:
        raise UserError(f"{field}: '{text}' is too long; use at most {_LONGEST:.0e}")
    return Fraction(match[1]), match[2].rstrip("s")


def to_steps(
    text: str, field: str, *, batch_size: int, examples: int, total: int | None = None
) -> int:
    """Converts a duration to a whole number of steps, rounded up.

    Args:
      text: the duration.
      field: the config field it stands in, for messages.
      batch_size: examples per step.
      examples: examples an epoch.
      total: steps of the whole training, which "%" refers to; None where "%" is not allowed.

    Raises:
      UserError: not a duration, or a percentage without a total.
    """
    amount, unit = parse_duration(text, field)
    if unit == "%":
        if total is None:
            raise UserError(f"{field}: '{text}' is relative; use steps, epochs or examples")
        return math.ceil(amount * total / 100)
    if unit == "step":
        return math.ceil(amount)
    return math.ceil(amount * (examples if unit == "epoch" else 1) / batch_size)


def parse_share(text: str, field: str) -> tuple[Fraction, str]:
    """Splits a part of a split into its amount and its unit: "%" or "example".

    Raises:
      UserError: the text is not an amount with one of the two units.
    """
    match = _DURATION.fullmatch(text)
    if not match or match[2].rstrip("s") not in ("%", "example"):
        raise UserError(
            f"{field}: '{text}' is not a size of a split; write a percentage or a number of "
            "examples, like '10%' or '5000 examples'"
        )
    return parse_duration(text, field)


def to_examples(text: str, field: str, *, examples: int) -> int:
    """Converts a share ("10%") or an amount ("5000 examples") of a split to examples.

    Raises:
      UserError: not such a part.
    """
    amount, unit = parse_share(text, field)
    return round(amount * examples / 100) if unit == "%" else round(amount)


def is_due(step: int, every: int, total: int) -> bool:
    """Whether an event with a period in steps is due after this step; after the last, always."""
    return step == total or (every > 0 and step % every == 0)
