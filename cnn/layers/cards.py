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
        "model.downsample, model.stem_downsample, model.shortcut_downsample; in networks of clips "
        "model.temporal_downsample, model.shortcut_temporal_downsample",
        DOWNSAMPLERS,
    ),
    ("Heads", "model.head, model.temporal_head", HEADS),
)
INTRODUCTION = """\
# Operators

What can be written in each downsampling field, as `name` or `name(option=value)`. The list is made
from the registries by `python -m cnn.layers --markdown`; `python -m cnn.layers NAME` prints one
card. C is the number of channels, n of spatial axes, K of classes; a window is counted in elements
per axis, costs are of the operator alone.

## Sites

| field | what the operator gets |
| --- | --- |
| `model.stem_downsample` | the stem's output |
| `model.downsample` | the site's convolution, norm and activation, at full resolution |
| `model.shortcut_downsample` | the block's input, before a projection or zero channels widen it |
| `model.temporal_downsample` | networks of clips: as `model.downsample`, which leaves time alone |
| `model.shortcut_temporal_downsample` | networks of clips: likewise on the shortcut |
| `model.head` | the last activations; what it returns goes to the classifier |
| `model.temporal_head` | clips: what `model.head` returns of each frame, in the frames' order |

Every downsampling site halves each spatial axis, n to ceil(n / 2), but for entries whose card says
otherwise. In networks of clips it halves either height and width or time, and windows, norms of
phases and Fourier transforms are then along those axes alone. An entry with "the site's convolution
takes the strides" comes in front of that convolution, which then works at half the resolution; on a
shortcut that needs a projection, after a stem it is refused. Windows are padded by
`model.padding`, but where the card names other borders. `aps` and `lps` on a shortcut take the
component that the main path picked. Random operators draw while training only. Weight decay shrinks
the kernels of convolutions and of linear maps, and no other parameter here.

## One function by two names

Arms of both sides compare a network with itself, which is of use as an A/A control only. In 2-D, on
sizes that are even:

| one | other |
| --- | --- |
| `conv_blur`, `avg_blur` | `blur` |
| `blur(taps=2)` | `avg` |
| `max(window=1)` | `subsample` |
| `avg_conv` | `conv_avg`, with the same parameters |
| `space_to_depth(window=k)` | a convolution of window 2 k with strides 2 |
| `lp(p=q)` | a constant times `gem` of window 2 with p = q, on positive input |
| `wavelet(wavelet='haar')` | 2 times `avg` |
| `s3` in evaluation | `max_blur(taps=2)` |
| `lip` as it starts | `avg(window=3)` |
| `gated` as it starts | `mixed` as it starts |"""


def card_lines(entry: Operator) -> Iterator[tuple[str, str]]:
    """Yields what the card says, as (label, text)."""
    card = entry.card
    yield "formula", card.formula
    yield "reference", card.reference
    yield "published", card.site
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


def tables() -> Iterator[Table]:
    """Yields a table of all entries for each registry."""
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
    """Returns the cards of a name, which an operator and a head may share.

    Raises:
      UserError: neither has it.
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
