"""Split expressions such as `train[:50%]`, for the sources that have no parser of their own."""

import re
from dataclasses import dataclass

from cnn.config.errors import UserError

_EXPRESSION = re.compile(r"\s*([^\[\]+]+?)\s*(?:\[\s*(-?\d+%?)?\s*:\s*(-?\d+%?)?\s*\])?\s*")


@dataclass(frozen=True)
class SplitSlice:
    """A split's name and a slice of it; bounds as written, None where left out.

    Attributes:
      pattern: that the names of its examples must contain; None: any.
    """

    base: str
    start: str | None
    stop: str | None
    pattern: re.Pattern[str] | None = None

    def range(self, num_examples: int) -> range:
        """Returns the selected positions in a split of that many examples."""
        start = 0 if self.start is None else _bound(self.start, num_examples)
        stop = num_examples if self.stop is None else _bound(self.stop, num_examples)
        return range(start, max(start, stop))


def _bound(text: str, num_examples: int) -> int:
    """Turns one bound into a position; percentages round to the nearest, as TFDS does."""
    number = int(text.removesuffix("%"))
    position = round(number * num_examples / 100) if text.endswith("%") else number
    if position < 0:
        position += num_examples
    return min(max(position, 0), num_examples)


def parse_split(expression: str, field: str) -> SplitSlice:
    """Parses `name`, `name[from:to]` or `name[from%:to%]`, and optionally `~ REGEX`.

    Negative bounds count from the end, as in Python. Examples are first selected by name, then
    sliced.

    Raises:
      UserError: the expression is none of these.
    """
    part, tilde, text = expression.partition("~")
    try:
        pattern = re.compile(text.strip()) if tilde else None
    except re.error as error:
        raise UserError(
            f"{field}: '{text.strip()}' is not a regular expression: {error}"
        ) from error
    match = _EXPRESSION.fullmatch(part)
    if match is None:
        raise UserError(
            f"{field}: '{expression}' is not a split; write 'train', 'train[:50%]' or "
            "'train[100:200]'"
        )
    return SplitSlice(*match.groups(), pattern)
