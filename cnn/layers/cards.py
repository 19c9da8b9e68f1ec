"""The cards of all operators as text, for the terminal and for docs/operators.md."""

from collections.abc import Iterator

from cnn.config.registry import Registry
from cnn.layers.downsample import DOWNSAMPLERS, Operator
from cnn.layers.heads import HEADS

SECTIONS = (
    (
        "Downsampling",
        "model.downsample, model.stem_downsample, model.shortcut_downsample",
        DOWNSAMPLERS,
    ),
    ("Heads", "model.head", HEADS),
)
INTRODUCTION = """\
# Operators

What can be written in each downsampling field, as `name` or `name(option=value)`. The list is made
from the registries by `python -m cnn.layers --markdown`. C is the number of channels, n of spatial
axes, K of classes; a window is counted in elements an axis, costs are of the operator alone."""


def signature(name: str, entry: Operator) -> str:
    """Returns "name(option=default, ...)"."""
    options = ", ".join(f"{key}={value!r}" for key, value in entry.defaults().items())
    return f"{name}({options})" if options else name


def card_lines(entry: Operator) -> Iterator[tuple[str, str]]:
    """Yields what the card says, as (label, text)."""
    card = entry.card
    yield "formula", card.formula
    yield "reference", card.reference
    yield "adds", f"parameters: {card.parameters}; operations: {card.macs}"
    properties = {
        "the site's convolution takes the strides": entry.on_conv,
        "keeps the resolution": entry.keeps_resolution,
        "dilates later convolutions": entry.dilates,
        "shares its phase with the shortcut": entry.shares_phase,
        "random while training": entry.stochastic,
    }
    held = "; ".join(text for text, holds in properties.items() if holds)
    if held:
        yield "behaviour", held
    yield "pitfalls", card.pitfalls


def text() -> str:
    """Returns all cards for a terminal."""
    parts = []
    for title, fields, registry in SECTIONS:
        parts.append(f"{title}: {fields}\n")
        for name, entry in _sorted(registry):
            card = "\n".join(f"      {label}: {words}" for label, words in card_lines(entry))
            parts.append(f"  {signature(name, entry)}\n{card}\n")
    return "\n".join(parts)


def markdown() -> str:
    """Returns docs/operators.md."""
    parts = [INTRODUCTION]
    for title, fields, registry in SECTIONS:
        named = ", ".join(f"`{field}`" for field in fields.split(", "))
        parts.append(f"## {title}\n\n{named}")
        for name, entry in _sorted(registry):
            card = "\n".join(
                f"- {label}: {_quoted(label, words)}" for label, words in card_lines(entry)
            )
            parts.append(f"### `{signature(name, entry)}`\n\n{card}")
    return "\n\n".join(parts) + "\n"


def _quoted(label: str, words: str) -> str:
    return f"`{words}`" if label == "formula" else words.replace("*", r"\*")


def _sorted(registry: Registry[Operator]) -> list[tuple[str, Operator]]:
    return sorted(registry.items())
