"""Networks by name: how each is built, which config fields it reads, and what was published."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
from ml_collections import ConfigDict

from cnn.config.errors import UserError, did_you_mean
from cnn.config.registry import Registry
from cnn.layers import DOWNSAMPLERS, HEADS, STYLE_FIELDS, Style, operator_of
from cnn.layers.residual import SHORTCUTS
from cnn.models.framewise import frame_wise

# Fields of config.model that every network reads.
COMMON = STYLE_FIELDS | {"name", "head", "temporal_head", "dropout"}
RESIDUAL_SITES = frozenset({"stem_downsample", "downsample", "shortcut_downsample", "shortcut"})
TEMPORAL_SITES = ("temporal_downsample", "shortcut_temporal_downsample")
SITES = ("stem_downsample", "downsample", "shortcut_downsample", *TEMPORAL_SITES)
IMAGENET_SHAPE = (224, 224, 3)
_STYLE = {"norm": "batch", "activation": "relu"}


@dataclass(frozen=True)
class Network:
    """An entry of the registry.

    Attributes:
      build: (resolved config.model, number of classes) -> module.
      about: one line, with the source.
      published: what the fields are that the config leaves open ("" or ()); a dict gives the value
        for each stem.
      reads: the fields of config.model that have an effect, besides the common ones.
      stems: the values that model.stem can have.
      input_shape: that it was published for.
      clips: it takes clips `[B, T, H, W, C]`, and nothing else.
    """

    build: Callable[[ConfigDict, int], nn.Module]
    about: str
    published: dict[str, Any] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()
    stems: tuple[str, ...] = ()
    input_shape: tuple[int, ...] = (32, 32, 3)
    clips: bool = False


def _filled(config: ConfigDict) -> ConfigDict:
    """Returns a config with the open fields of config.model set; see `resolve`."""
    filled = config.copy_and_resolve_references()
    with filled.unlocked():
        filled.model = resolve(config.model)
    return filled


MODELS: Registry[Network] = Registry("network", "model.name", fill=_filled)


def style_of(model: ConfigDict) -> Style:
    """Reads the settings that all blocks share from a resolved config.model."""
    return Style(zero_scale=model.zero_scale, **{name: model[name] for name in STYLE_FIELDS})


def resolve(model: ConfigDict) -> ConfigDict:
    """Returns config.model with every unset field at the value of the network's authors.

    Raises:
      UserError: unknown network, stem, operator or head.
    """
    network = MODELS.look_up(model.name, "model.name")
    filled = model.copy_and_resolve_references()
    # The stem first: others depend on it.
    published = sorted((_STYLE | network.published).items(), key=lambda item: item[0] != "stem")
    with filled.unlocked():
        for name, value in published:
            if filled[name] in ("", ()):
                filled[name] = value[filled.stem] if isinstance(value, dict) else value
            if name == "stem":
                _check_choice("stem", filled.stem, network.stems)
    _check_operators(filled, network)
    return filled


def _check_operators(model: ConfigDict, network: Network) -> None:
    for site in SITES:
        if site in network.reads:
            DOWNSAMPLERS.parse(model[site], f"model.{site}")
    HEADS.parse(model.head, "model.head")
    if model.temporal_head:
        _check_frame_wise(model, network)
    if "stem_downsample" in network.reads:
        entry = operator_of(model.stem_downsample)
        if entry.on_conv or entry.dilates:
            raise UserError(
                f"model.stem_downsample: '{model.stem_downsample}' has no effect after the stem; "
                "use a pooling operator, or 'none'"
            )
    if "shortcut" not in network.reads:
        return
    _check_choice("shortcut", model.shortcut, SHORTCUTS)
    if model.shortcut == "pad" and operator_of(model.shortcut_downsample).on_conv:
        raise UserError(
            f"model.shortcut_downsample: '{model.shortcut_downsample}' needs a convolution on the "
            "shortcut; set model.shortcut=projection, or use 'subsample'"
        )


def _check_frame_wise(model: ConfigDict, network: Network) -> None:
    HEADS.parse(model.temporal_head, "model.temporal_head")
    if network.clips:
        raise UserError(
            f"model.temporal_head: pools the features of single frames, but "
            f"{model.name} is a network for clips; leave it out, or choose another network"
        )
    if model.ghost_batch:
        raise UserError(
            "model.ghost_batch: counts examples, but with model.temporal_head the statistics are "
            "over frames; leave one of them out"
        )


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"model.{name}: unknown '{value}': {did_you_mean(value, allowed)}")


def check_stages(model: ConfigDict, most: int | None = None) -> None:
    """Refuses widths and depths that do not make stages.

    Args:
      model: resolved config.model.
      most: stages that the network can have; None: any number.

    Raises:
      UserError: names the field.
    """
    features, depths = tuple(model.features), tuple(model.depths)
    for name, values in (("features", features), ("depths", depths)):
        if not values or not all(isinstance(v, int) and v > 0 for v in values):
            raise UserError(f"model.{name}: {values} are not all positive integers")
    if len(features) != len(depths):
        raise UserError(
            f"model.depths: {depths} has {len(depths)} stages, but model.features {features} has "
            f"{len(features)}; set both to the same number"
        )
    if most and len(features) > most:
        raise UserError(
            f"model.features: {model.name} has at most {most} stages, not {len(features)}; "
            "give fewer"
        )


def check_scan(model: ConfigDict) -> None:
    """Refuses a loop over blocks that differ.

    Raises:
      UserError: names both fields.
    """
    if model.scan and model.stochastic_depth:
        raise UserError(
            f"model.scan: does not work with model.stochastic_depth={model.stochastic_depth}, "
            "which differs from block to block; leave one of them out"
        )


def build(model: ConfigDict, num_classes: int) -> nn.Module:
    """Builds the network that config.model describes.

    Returns:
      A module called as `module(x, train)`, with images `[B, H, W, C]` to float32 logits `[B, K]`;
      with clips `[B, T, H, W, C]` where `model.temporal_head` is set, or the network is for clips.

    Raises:
      UserError: unknown names, or incompatible choices.
    """
    filled = resolve(model)
    network = MODELS[model.name].build(filled, num_classes)
    return frame_wise(network, filled.temporal_head) if filled.temporal_head else network
