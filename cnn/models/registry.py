"""Networks by name: how each is built, which config fields it reads, and what was published."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.layers import DOWNSAMPLERS, HEADS, Style, parse_operator

# Fields of config.model that every network reads.
COMMON = frozenset({"name", "head", "dropout", *Style.__dataclass_fields__})
SITES = ("stem_downsample", "downsample", "shortcut_downsample")


@dataclass(frozen=True)
class Network:
    """An entry of the registry.

    Attributes:
      build: (resolved config.model, number of classes) -> module.
      published: what the fields are that the config leaves open ("" or ()).
      reads: the fields of config.model that have an effect, besides the common ones.
      about: one line, with the source.
    """

    build: Callable[[ConfigDict, int], nn.Module]
    about: str
    published: dict[str, Any] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()


MODELS: Registry[Network] = Registry("network")


def resolve(model: ConfigDict) -> ConfigDict:
    """Returns config.model with every open field set to what the network's authors chose.

    Raises:
      UserError: unknown network, operator or head.
    """
    network = MODELS.look_up(model.name, "model.name")
    filled = model.copy_and_resolve_references()
    with filled.unlocked():
        for name, value in network.published.items():
            if filled[name] in ("", ()):
                filled[name] = value
    for site in SITES:
        if site in network.reads:
            parse_operator(filled[site], f"model.{site}", DOWNSAMPLERS)
    parse_operator(filled.head, "model.head", HEADS)
    return filled


def build(model: ConfigDict, num_classes: int) -> nn.Module:
    """Builds the network that config.model describes.

    Returns:
      A module called as `module(x, train)`, with images `[B, H, W, C]` to float32 logits `[B, K]`.

    Raises:
      UserError: unknown names, or choices that do not go together.
    """
    return MODELS.look_up(model.name, "model.name").build(resolve(model), num_classes)


def check_read(model: ConfigDict, fields: Iterable[str]) -> None:
    """Refuses fields of config.model that were set although the network does not read them.

    Args:
      model: config.model.
      fields: dotted names of the fields that somebody set.

    Raises:
      UserError: names the field and the network.
    """
    network = MODELS.look_up(model.name, "model.name")
    for name in sorted(fields):
        section, _, short = name.partition(".")
        if section == "model" and short not in COMMON | network.reads:
            raise UserError(
                f"{name}: has no effect on {model.name}; leave it out, or choose another network "
                f"(this one reads {', '.join(sorted(network.reads)) or 'the common fields only'})"
            )
