"""`max_blur(taps=4)`: a name with keyword arguments, written as one config value."""

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

from cnn.config.errors import UserError, did_you_mean
from cnn.config.fields import Field, Interval


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
            names = [str(k.arg) for k in tree.keywords]
            if len(set(names)) == len(names):
                return tree.func.id, {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    except (SyntaxError, ValueError):
        pass
    raise UserError(
        f"{field}: '{text}' is not a name or a name with keyword arguments, each given once; "
        "write it like 'max' or 'max(window=3)'"
    )


def split_calls(text: str) -> list[str]:
    """Splits `"a, b(c=1, d=(2, 3))"` at commas outside brackets; empty parts are dropped.

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


def options_of(function: Callable) -> dict[str, Field]:
    """Returns the keyword-only arguments of a function.

    Types are those of the defaults. An annotation says what else is allowed, such as
    `Annotated[int, Interval("[1, 9]")]` or `Literal["a", "b"]`. Without one, whole numbers begin at
    1, or at 0 where the default is 0, which turns something off.
    """
    found = inspect.signature(function).parameters.values()
    return {p.name: _option(p.default, p.annotation) for p in found if p.kind is p.KEYWORD_ONLY}


def _option(default: Any, annotation: Any) -> Field:
    if isinstance(default, tuple):
        return Field(type(default[0]) if default else int, default, "", _interval(1, annotation))
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    return Field(type(default), default, "", _interval(default, annotation), choices)


def _interval(default: Any, annotation: Any) -> Interval | None:
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, Interval):
            return extra
    if type(default) is int:
        return Interval(f"[{min(default, 1)}, 2147483647]")
    return Interval("(-inf, inf)") if type(default) is float else None


def check_options(
    name: str, options: Mapping[str, Any], allowed: Mapping[str, Field], field: str
) -> None:
    """Refuses options that `name` does not have, and invalid values.

    Args:
      name: that has the options.
      options: as given.
      allowed: all options, see `options_of`.
      field: that messages name.

    Raises:
      UserError: such an option, with the nearest one, or such a value.
    """
    for option, value in options.items():
        if option not in allowed:
            near = did_you_mean(option, allowed) if allowed else "it has none"
            raise UserError(f"{field}: '{name}' has no option '{option}'; {near}")
        allowed[option].check(value, f"{field}: {option} of '{name}'")


def signature(name: str, defaults: Mapping[str, Any]) -> str:
    """Returns "name(option=default, ...)", or just the name without options."""
    options = ", ".join(f"{key}={value!r}" for key, value in defaults.items())
    return f"{name}({options})" if options else name
