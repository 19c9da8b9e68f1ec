"""One language for lengths of time: "10 epochs", "500 steps", "64000 examples", "5%"."""

import math
import re

from cnn.config.errors import UserError

_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]+)?)\s*(steps?|epochs?|examples?|%)\s*")


def parse_duration(text: str, field: str) -> tuple[float, str]:
    """Splits a duration into its amount and its unit: "step", "epoch", "example" or "%".

    Raises:
      UserError: the text is not an amount with one of the four units.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise UserError(
            f"{field}: '{text}' is not a duration; write an amount and a unit, "
            "like '10 epochs', '500 steps', '64000 examples' or '5%'"
        )
    return float(match[1]), match[2].rstrip("s")


def to_steps(
    text: str, field: str, *, batch_size: int, examples: int, total: int | None = None
) -> int:
    """Converts a duration to a whole number of steps, rounded up.

    Args:
      text: the duration.
      field: the config field it stands in, for messages.
      batch_size: examples a step.
      examples: examples an epoch.
      total: steps of the whole training, which "%" refers to; None where "%" makes no sense.

    Raises:
      UserError: not a duration, or a percentage without a total.
    """
    amount, unit = parse_duration(text, field)
    if unit == "%":
        if total is None:
            raise UserError(f"{field}: '{text}' has no whole; use steps, epochs or examples")
        return math.ceil(amount * total / 100)
    per_unit = {"step": 1.0, "epoch": examples / batch_size, "example": 1 / batch_size}[unit]
    # Ten digits: 10 epochs of 50,000 at 100 are 5,000 steps, whatever the division left behind.
    return math.ceil(round(amount * per_unit, 10))


def to_examples(text: str, field: str, *, examples: int) -> int:
    """Converts a share ("10%") or an amount ("5000 examples") of a split to examples.

    Raises:
      UserError: not a duration, or one in steps or epochs.
    """
    amount, unit = parse_duration(text, field)
    if unit not in ("%", "example"):
        raise UserError(f"{field}: '{text}' must be like '10%' or '5000 examples'")
    return round(amount * examples / 100) if unit == "%" else round(amount)


def is_due(step: int, every: int, total: int) -> bool:
    """Whether what happens every so many steps happens after this one; after the last, always."""
    return step == total or (every > 0 and step % every == 0)
