"""The exception for user errors, and suggestions for misspelt names."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """An error in the user's input, described in one sentence.

    The sentence says what is wrong, where (file or field) and what to do. Entry points print it
    without a traceback and exit with code 2.
    """


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Returns the most similar allowed name, or ""."""
    near = difflib.get_close_matches(name, set(allowed) - {name}, n=1, cutoff=0.5)
    return near[0] if near else ""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Returns "did you mean 'x'? " (or "") followed by the allowed names, ready to be appended."""
    allowed = sorted(allowed)
    near = nearest(name, allowed)
    hint = f"did you mean '{near}'? " if near else ""
    return f"{hint}allowed: {', '.join(allowed) or 'none'}"
