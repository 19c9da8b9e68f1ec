"""Matches the tensors of a file with a network: taken, missing, left over, and the best fit."""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cnn import models
from cnn.config.base import get_config
from cnn.foreign.layouts import LAYOUTS, Layout, Leaf
from cnn.foreign.layouts.layout import Path, Shapes
from cnn.foreign.readers.weights_file import Tensors

PREFIXES = ("module.", "_orig_mod.")
NORMALISATION = ("data.mean", "data.std")
# Fields of a network that do not affect evaluation.
_OF_TRAINING = (
    *("dropout", "input_dropout", "stochastic_depth", "zero_scale", "ghost_batch", "scan"),
    *("norm_momentum", "norm_frozen"),
)
_CLASSIFIER = ("params", "head", "classifier", "kernel")
_SHOWN = 3
_ANY_CLASSES = 1000
_COMPARED = 4


@dataclass(frozen=True)
class Fit:
    """A file against a network.

    Attributes:
      taken: our tensors that the file has, in the right shape.
      missing: our tensors that the file does not have.
      misshapen: (our tensor, shape in the file) of those that it has in another shape.
      left_over: names that nothing takes.
    """

    taken: list[Leaf]
    missing: list[Leaf]
    misshapen: list[tuple[Leaf, tuple[int, ...]]]
    left_over: list[str]

    @property
    def perfect(self) -> bool:
        """Whether everything on both sides has its counterpart."""
        return not (self.missing or self.misshapen or self.left_over)

    def waived(self, patterns: Sequence[str]) -> "Fit":
        """Returns the fit without the differences whose name, theirs or ours, fits a pattern."""

        def kept(*names: str) -> bool:
            return not any(fnmatch.fnmatchcase(n, p) for n in names for p in patterns)

        return replace(
            self,
            missing=[leaf for leaf in self.missing if kept(leaf.theirs, leaf.name)],
            misshapen=[(e, shape) for e, shape in self.misshapen if kept(e.theirs, e.name)],
            left_over=[name for name in self.left_over if kept(name)],
        )

    def differences(self) -> Iterator[str]:
        """Yields a line for each tensor without its counterpart."""
        for leaf in self.missing:
            yield f"missing: {leaf.theirs} {leaf.form.theirs}, for {leaf.name}"
        for leaf, shape in self.misshapen:
            yield f"another shape: {leaf.theirs} {shape}, {leaf.form.theirs} for {leaf.name}"
        for name in self.left_over:
            yield f"left over: {name}"

    def summary(self) -> str:
        """Returns what differs, in part of a sentence."""
        first = list(self.differences())[:_SHOWN]
        counts = {
            "missing": len(self.missing),
            "of another shape": len(self.misshapen),
            "left over": len(self.left_over),
        }
        counted = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        return f"{counted} (first: {'; '.join(first)})"


def without_prefix(tensors: Tensors) -> tuple[Tensors, str]:
    """Returns tensors without the common prefix that wrappers add to every name, and the prefix."""
    taken = ""
    while True:
        prefix = next((p for p in PREFIXES if all(n.startswith(p) for n in tensors)), None)
        if prefix is None:
            return tensors, taken
        tensors = {name.removeprefix(prefix): t for name, t in tensors.items()}
        taken += prefix


def shapes_of(model: ConfigDict, num_classes: int, shape: tuple[int, ...]) -> Shapes:
    """Returns the shapes of a network's variables; nothing is computed.

    Args:
      model: config.model.
      num_classes: of the classifier.
      shape: of the input of one example, `[*spatial, C]`.
    """
    module = models.build(model, num_classes)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, train=False), x)
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {tuple(key.key for key in path): leaf.shape for path, leaf in leaves}


def fit(layout: Layout, leaves: Iterable[Leaf], tensors: Tensors) -> Fit:
    """Compares our tensors with those of a file."""
    taken, missing, misshapen, used = [], [], [], set()
    for leaf in leaves:
        used |= {leaf.theirs, leaf.minus}
        if leaf.theirs not in tensors or (leaf.minus and leaf.minus not in tensors):
            missing.append(leaf)
        elif tensors[leaf.theirs].shape != leaf.form.theirs:
            misshapen.append((leaf, tensors[leaf.theirs].shape))
        else:
            taken.append(leaf)
    left_over = [n for n in tensors if n not in used and not n.endswith(layout.unused)]
    return Fit(taken, missing, misshapen, left_over)


def classes_in(leaves: Iterable[Leaf], tensors: Tensors) -> int | None:
    """Returns the classes of a file's classifier; None: it has none, or one of another width."""
    for leaf in leaves:
        if leaf.ours == _CLASSIFIER and leaf.theirs in tensors:
            inputs = leaf.form.ours[0]
            size = tensors[leaf.theirs].size
            return size // inputs if size % inputs == 0 else None
    return None


def differing(config: ConfigDict, fields: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yields (field, value here, value there) where evaluation computes, or is fed, other numbers.

    Args:
      config: of our network.
      fields: what a layout, or the run that weights come from, has in their place.
    """
    here = models.resolve(config.model)
    for field, value in fields.items():
        section, _, short = field.partition(".")
        if section == "model" and short not in _OF_TRAINING and here[short] != value:
            yield field, here[short], value
        if field in NORMALISATION and tuple(config.data[short]) != tuple(value):
            yield field, tuple(config.data[short]), tuple(value)


def difference_sentences(config: ConfigDict, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns what `differing` yields, a sentence each."""
    return tuple(
        f"the source used {field}={there}; this run uses {here}"
        for field, here, there in differing(config, fields)
    )


def configured(model: ConfigDict, layout: Layout, name: str) -> ConfigDict:
    """Returns config.model for a network by its name, as a layout sets it."""
    found = model.copy_and_resolve_references()
    with found.unlocked():
        found.name = name
        for field, value in layout.counterpart(name).fields.items():
            section, _, short = field.partition(".")
            if section == "model":
                found[short] = value
    return found


def nearest_network(tensors: Tensors, size: int, layout_asked: str) -> str:
    """Returns which network of which layout fits a file best, in part of a sentence.

    The few whose names agree best are compared tensor by tensor. Of equals it is that of the layout
    that was asked for.
    """
    ranked: list[tuple[int, int, bool, str, str]] = []
    for layout_name, layout in LAYOUTS.items():
        modules = {name.rpartition(layout.dialect.separator)[0] or name for name in tensors}
        held = modules | set(tensors)
        for name in layout.networks:
            network = models.build(configured(get_config().model, layout, name), _ANY_CLASSES)
            sites = {site.theirs for site in layout.counterpart(name).sites(network)}
            parents = {site.rpartition(layout.dialect.separator)[0] for site in sites}
            unknown = len(modules - sites - parents)
            other = layout_name != layout_asked
            ranked.append((unknown, len(sites - held), other, layout_name, name))
    found = [(_fit_of(n, e, tensors, size), n, e) for *_, e, n in sorted(ranked)[:_COMPARED]]
    # Of equals the first: `ranked` has those of the layout that was asked for before others.
    best, name, layout_name = max(found, key=lambda one: _score(one[0]))
    if not best.taken and not best.misshapen:
        return "no network of any layout here has tensors of these names"
    misshapen = f" and {len(best.misshapen)} are of another shape" if best.misshapen else ""
    return f"nearest: --model={name} --layout={layout_name}, where {len(best.taken)} fit{misshapen}"


def _score(found: Fit) -> tuple[float, int]:
    """Returns the share of names that both sides have, and how many tensors fit."""
    both = len(found.taken) + len(found.misshapen)
    return both / (both + len(found.missing) + len(found.left_over)), len(found.taken)


def _fit_of(name: str, layout_name: str, tensors: Tensors, size: int) -> Fit:
    layout = LAYOUTS[layout_name]
    model = configured(get_config().model, layout, name)
    height, width, _ = models.MODELS[name].input_shape
    shapes = shapes_of(model, _ANY_CLASSES, (size or height, size or width, 3))
    return fit(layout, layout.leaves(name, models.build(model, _ANY_CLASSES), shapes), tensors)


def nested(tensors: Mapping[Path, np.ndarray]) -> dict[str, Any]:
    """Returns tensors by their paths as variables of a network."""
    tree: dict[str, Any] = {}
    for (*parents, name), tensor in tensors.items():
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = tensor
    return tree
