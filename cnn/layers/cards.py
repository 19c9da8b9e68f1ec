"""The cards of all operators as text, for the terminal and for docs/operators.md."""

from collections.abc import Iterator

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from cnn.config.call import signature
from cnn.config.errors import UserError, did_you_mean
from cnn.config.registry import Registry
from cnn.layers.downsample import DOWNSAMPLERS, Operator
from cnn.layers.heads import HEADS

SECTIONS = (
    (
        "Downsampling",
        "model.downsample, model.stem_downsample, model.shortcut_downsample, "
        "model.temporal_downsample, model.shortcut_temporal_downsample",
        DOWNSAMPLERS,
    ),
    ("Heads", "model.head, model.temporal_head", HEADS),
)
INTRODUCTION = """\
# Operators

Values of the downsampling fields, written `name` or `name(option=value)`. This page is generated
from the registries by `python -m cnn.layers --markdown`; `python -m cnn.layers NAME` prints one
card. C is the number of channels, n the number of spatial axes and K the number of classes. Window
sizes are per axis, and costs are those of the operator alone.

## Sites

| field | input of the operator |
| --- | --- |
| `model.stem_downsample` | the stem's output |
| `model.downsample` | the output of convolution, norm and activation, at full resolution |
| `model.shortcut_downsample` | the block's input, before its projection or channel padding |
| `model.temporal_downsample` | video: as `model.downsample`, but along time |
| `model.shortcut_temporal_downsample` | video: the same on the shortcut |
| `model.head` | the last feature map; its output goes to the classifier |
| `model.temporal_head` | video: the output of `model.head` per frame, in temporal order |

A site halves each spatial axis, n to ceil(n / 2), unless the card says otherwise. In video networks
it reduces either height and width or time, and windows, phase norms and Fourier transforms are
taken along those axes only. An entry marked "the site's convolution takes the strides" is applied
before that convolution, which then runs at half resolution; such entries are refused after a stem
and on a shortcut that needs a projection. Windows are padded as `model.padding` says unless the
card names other borders. On a shortcut, `aps` and `lps` select the component that the main path
selected. Stochastic operators sample during training only. Weight decay applies to the kernels of
convolutions and linear maps and to no other parameter here.

## Equivalent operators

Arms that use both sides compare a network with itself, which is useful only as an A/A control. In
2-D, for even sizes:

| operator | equals |
| --- | --- |
| `conv_blur`, `avg_blur` | `blur` |
| `blur(taps=2)` | `avg` |
| `max(window=1)` | `subsample` |
| `avg_conv` | `conv_avg`, with the same parameters |
| `space_to_depth(window=k)` | a convolution of size 2 k with stride 2 |
| `lp(p=q)` | a constant times `gem` of window 2 with p = q, on positive input |
| `wavelet(wavelet='haar')` | 2 times `avg` |
| `s3` in evaluation | `max_blur(taps=2)` |
| `lip` at initialisation | `avg(window=3)` |
| `gated` at initialisation | `mixed` at initialisation |"""


def card_lines(entry: Operator) -> Iterator[tuple[str, str]]:
    """Yields the lines of a card as (label, text)."""
    card = entry.card
    yield "formula", card.formula
    yield "reference", card.reference
    yield "used", card.site
    yield "cost", f"parameters: {card.parameters}; operations: {card.macs}"
    properties = {
        "the site's convolution takes the strides": entry.on_conv,
        "keeps the resolution": entry.keeps_resolution,
        "dilates later convolutions": entry.dilates,
        "selects the same phase on the shortcut": entry.shares_phase,
        "stochastic during training": entry.stochastic,
    }
    held = "; ".join(text for text, holds in properties.items() if holds)
    if held:
        yield "behaviour", held
    yield "pitfalls", card.pitfalls


def tables() -> Iterator[Table]:
    """Yields one table of all entries per registry."""
    for title, fields, registry in SECTIONS:
        table = Table(title=f"{title}: {fields}", title_justify="left", box=SIMPLE)
        table.add_column("name and default options")
        table.add_column("formula")
        table.add_column("reference")
        for name, entry in _sorted(registry):
            card = entry.card
            table.add_row(
                *map(Text, (signature(name, entry.defaults()), card.formula, card.reference))
            )
        yield table


def text(name: str) -> str:
    """Returns the cards of the operator and the head of a name, or of either.

    Raises:
      UserError: neither exists.
    """
    found = [
        "\n".join(
            [
                f"{signature(name, registry[name].defaults())}, {registry.kind} of {fields}",
                *(f"  {label}: {words}" for label, words in card_lines(registry[name])),
            ]
        )
        for _, fields, registry in SECTIONS
        if name in registry
    ]
    if not found:
        names = {name for _, _, registry in SECTIONS for name in registry}
        raise UserError(f"unknown operator or head '{name}': {did_you_mean(name, names)}")
    return "\n\n".join(found) + "\n"


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
            parts.append(f"### `{signature(name, entry.defaults())}`\n\n{card}")
    return "\n\n".join(parts) + "\n"


def _quoted(label: str, words: str) -> str:
    return f"`{words}`" if label == "formula" else words.replace("*", r"\*")


def _sorted(registry: Registry[Operator]) -> list[tuple[str, Operator]]:
    return sorted(registry.items())
