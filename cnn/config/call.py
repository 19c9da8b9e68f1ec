"""`max_blur(taps=4)`: a name with keyword arguments, written as one config value."""

import ast
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from cnn.config.errors import UserError, did_you_mean


def parse_call(text: str, field: str) -> tuple[str, dict[str, Any]]:
    """Splits `"name"` or `"name(key=value, ...)"` into the name and its literal arguments.

    One string keeps the variable under study in one field, so an ablation arm is one override.

    Raises:
      UserError: the text is not of that form, or a value is not a Python literal.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.args:
            return tree.func.id, {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    except (SyntaxError, ValueError):
        pass
    raise UserError(
        f"{field}: '{text}' is not a name or a name with keyword arguments; "
        "write it like 'max' or 'max(window=3)'"
    )


def split_calls(text: str) -> list[str]:
    """Splits `"a, b(c=1, d=(2, 3))"` at the commas that no bracket holds; empty parts are left out.

    What a part says is checked by `parse_call`.
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def defaults_of(function: Callable) -> dict[str, Any]:
    """Returns the keyword-only arguments of a function and their defaults."""
    found = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY}


def check_options(
    name: str,
    options: Mapping[str, Any],
    defaults: Mapping[str, Any],
    field: str,
    zeros: Collection[str] = (),
) -> None:
    """Refuses options that `name` does not have, or of another type than their default.

    Numbers of elements begin at 1, but where the default is 0, which turns something off, at 0.

    Args:
      name: that has the options.
      options: as given.
      defaults: of all options.
      field: that messages name.
      zeros: more options that may be 0.

    Raises:
      UserError: such an option, with the nearest one, or a value below its range.
    """
    for option, value in options.items():
        if option not in defaults:
            near = did_you_mean(option, defaults) if defaults else "it has none"
            raise UserError(f"{field}: '{name}' has no option '{option}'; {near}")
        default, said = defaults[option], f"{field}: {option}={value!r} of '{name}'"
        kind = type(default)
        # A bool is an int to Python, not to people.
        if type(value) is not kind and (kind, type(value)) != (float, int):
            raise UserError(f"{said} is not of type {kind.__name__}, as {default!r} is")
        lowest = min(default, int(option not in zeros)) if kind is int else None
        if lowest is not None and value < lowest:
            raise UserError(f"{said} is too small; use a whole number from {lowest} up")


def signature(name: str, defaults: Mapping[str, Any]) -> str:
    """Returns "name(option=default, ...)", or the name of what has no options."""
    options = ", ".join(f"{key}={value!r}" for key, value in defaults.items())
    return f"{name}({options})" if options else name
