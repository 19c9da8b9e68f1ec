"""`max_blur(taps=4)`: a name with keyword arguments, written as one config value."""

import ast
from typing import Any

from cnn.config.errors import UserError


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
