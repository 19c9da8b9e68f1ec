"""A weights file and the network that takes it, before anything is written."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cnn import models
from cnn.config import base
from cnn.config.check import check_read, check_values, is_read
from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.config.load import apply_override, load
from cnn.data import SIGNALS
from cnn.foreign.fitting import (
    Fit,
    classes_in,
    difference_sentences,
    fit,
    nearest_network,
    nested,
    shapes_of,
    without_prefix,
)
from cnn.foreign.layouts import LAYOUTS, Leaf
from cnn.foreign.layouts.layout import Path as OurPath
from cnn.foreign.layouts.layout import Shapes
from cnn.foreign.readers import read
from cnn.foreign.readers.weights_file import Tensors
from cnn.foreign.recorded import Recorded, recorded_in

# The data set that a layout's weights were trained on: for a config that says nothing of data.
_DATA_SET = ("data.name", "data.test_split")
HEAD = "params/head/classifier/*"
_UNKNOWN_CLASSES = 1000


@dataclass(frozen=True)
class Target:
    """An existing network that takes weights without changes to its config.

    Attributes:
      config: of its training.
      shapes: of its variables.
      num_classes: of its classifier.
    """

    config: ConfigDict
    shapes: Shapes
    num_classes: int


@dataclass(frozen=True)
class ImportRequest:
    """What to import: a weights file and the network that takes it.

    Attributes:
      model: our name of the network.
      source: the weights file.
      layout: name in `LAYOUTS`; None: the only one that fits.
      new_head: whether the classifier keeps its initial values.
      classes: of a new head.
      skip: patterns of names, theirs or ours, whose differences are ignored.
      config: a config file; None: the default config, and the data set of the layout.
      overrides: "field=value" texts; they take precedence over the layout.
      plugins: files that register what the config names.
      target: what takes the weights; None: a network that the layout sets up.
      field: that messages name.
    """

    model: str
    source: str
    layout: str | None = None
    new_head: bool = False
    classes: int | None = None
    skip: tuple[str, ...] = ()
    config: str | None = None
    overrides: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    target: Target | None = None
    field: str = "--from"


@dataclass(frozen=True)
class Candidate:
    """A file against a network in one layout.

    Attributes:
      layout: its name.
      config: complete.
      fields: that the layout or the file itself has values for.
      set_fields: "field=value" of those that are set; for a target, a sentence for each that has
        another value there.
      num_classes: of the network.
      leaves: all tensors of ours.
      tensors: of the file, by the layout's names.
      fit: against those of the file, without what is waived.
    """

    layout: str
    config: ConfigDict
    fields: Mapping[str, Any]
    set_fields: tuple[str, ...]
    num_classes: int
    leaves: list[Leaf]
    tensors: Tensors
    fit: Fit

    @property
    def network(self) -> nn.Module:
        """The network."""
        return models.build(self.config.model, self.num_classes)


@dataclass(frozen=True)
class Imported:
    """A network with the weights of a file.

    Attributes:
      candidate: the network, and how the file fits it.
      tensors: of the network by our paths, float32.
      fresh: our tensors that the file does not have; they keep their initial values.
      recorded: what the file says of itself, if it was exported here.
      origin: the recorded provenance of the weights.
      notes: remarks for the user, one sentence each.
    """

    candidate: Candidate
    tensors: dict[OurPath, np.ndarray]
    fresh: tuple[Leaf, ...]
    recorded: Recorded
    origin: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def variables(self) -> dict[str, Any]:
        """The tensors as variables of the network, in its order."""
        leaves = self.candidate.leaves
        return nested({e.ours: self.tensors[e.ours] for e in leaves if e.ours in self.tensors})


def bring(request: ImportRequest) -> Imported:
    """Reads a file into a network.

    Raises:
      UserError: the file cannot be read, or it does not fit; says what differs first, and which
        network would fit.
    """
    models.MODELS.look_up(request.model, "--model")
    file = read(request.source, request.field)
    tensors, prefix = without_prefix(file.tensors)
    notes = [*file.notes, *([f"'{prefix}' was taken off all names"] if prefix else [])]
    recorded = recorded_in(file)
    if recorded.model not in ("", request.model) and not request.target:
        raise UserError(
            f"--model: {request.source} was exported from {recorded.model}; give "
            f"--model={recorded.model} instead of {request.model}"
        )
    candidate = choose(request, tensors, recorded)
    if not candidate.fit.perfect:
        raise UserError(_refusal(request, candidate, tensors))
    taken = _taken(request, candidate)
    fresh = tuple(leaf for leaf in candidate.leaves if leaf.ours not in taken)
    counterpart = LAYOUTS[candidate.layout].counterpart(request.model)
    origin = {
        "file": Path(request.source).name,
        "sha256": hashlib.sha256(Path(request.source).read_bytes()).hexdigest(),
        "form": file.form,
        "layout": candidate.layout,
        "source_model": counterpart.name,
        "set": list(candidate.set_fields),
        "initialised": [leaf.name for leaf in fresh],
    }
    notes = (*notes, *(() if recorded.fields else counterpart.notes))
    return Imported(candidate, taken, fresh, recorded, origin, notes)


def choose(request: ImportRequest, tensors: Tensors, recorded: Recorded) -> Candidate:
    """Returns the file against the network in the layout that was asked for, or that fits.

    Args:
      request: what was asked for.
      tensors: of the file.
      recorded: what the file says of itself, if it was exported here.

    Raises:
      UserError: several layouts fit, or the one that was asked for has no such network.
    """
    layout = request.layout or recorded.layout
    if layout:
        LAYOUTS.look_up(layout, "--layout")
        return _candidate(request, layout, tensors, recorded)
    names = [n for n, e in LAYOUTS.items() if n == "own" or request.model in e.networks]
    candidates = list(_candidates(request, names, tensors, recorded))
    perfect = [c for c in candidates if c.fit.perfect]
    # Libraries with the same names and settings count as one.
    if any(_unlike(c, perfect[0], request.target) for c in perfect):
        listed = " and ".join(c.layout for c in perfect)
        ambiguity = f"{request.source} fits {listed}, which may set other fields"
        if request.target:
            raise UserError(
                f"{request.field}: {ambiguity}; make a run folder of it first: "
                f"python -m cnn.weights import --model={request.model} --from={request.source} "
                "--layout=LAYOUT"
            )
        raise UserError(f"--layout: required, because {ambiguity}; name their source")
    return perfect[0] if perfect else max(candidates, key=lambda c: len(c.fit.taken))


def _candidates(
    request: ImportRequest, names: Sequence[str], tensors: Tensors, recorded: Recorded
) -> Iterator[Candidate]:
    """Yields the file in each layout that has a name for all of the network; "own" always has."""
    for name in names:
        try:
            yield _candidate(request, name, tensors, recorded)
        except UserError:
            if name == "own":
                raise


def _unlike(one: Candidate, other: Candidate, target: Target | None) -> bool:
    if one.leaves != other.leaves:
        return True
    if target:
        # Its config says how images are prepared: only another network would be another start.
        return _network(one) != _network(other)
    return (one.config, one.set_fields) != (other.config, other.set_fields)


def _candidate(
    request: ImportRequest, name: str, tensors: Tensors, recorded: Recorded
) -> Candidate:
    layout, target = LAYOUTS[name], request.target
    tensors = layout.renamed(tensors)
    theirs, own = layout.counterpart(request.model).fields, recorded.fields
    # A file of ours was not trained on the data set of the library's weights.
    fields = {f: v for f, v in theirs.items() if not own or f not in _DATA_SET} | dict(own)
    if target:
        config = target.config
        set_fields = difference_sentences(config, fields)
    else:
        config, set_fields = _config(request, fields, own)

    def leaves_for(num_classes: int) -> list[Leaf]:
        if target:
            shapes = target.shapes
        else:
            shapes = shapes_of(config.model, num_classes, input_shape(config, recorded))
        return layout.leaves(request.model, models.build(config.model, num_classes), shapes)

    classes = target.num_classes if target else request.classes
    if not classes:
        classes = classes_in(leaves_for(_UNKNOWN_CLASSES), tensors) or _UNKNOWN_CLASSES
    leaves = leaves_for(classes)
    skip = request.skip
    if request.new_head:
        heads = {leaf.theirs for leaf in leaves if leaf.name.startswith(HEAD[:-1])}
        skip = (*skip, HEAD, *heads)
    found = fit(layout, leaves, tensors)
    if request.new_head:
        # It may have the same number of classes, but different ones.
        kept = [leaf for leaf in found.taken if not leaf.name.startswith(HEAD[:-1])]
        found = Fit(kept, found.missing, found.misshapen, found.left_over)
    return Candidate(name, config, fields, set_fields, classes, leaves, tensors, found.waived(skip))


def _config(
    request: ImportRequest, fields: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[ConfigDict, tuple[str, ...]]:
    """Returns the config, and what the layout or, with precedence, the file itself sets in it."""
    loaded = load(request.config or base.__file__, [f"model.name={request.model}"], request.plugins)
    config = loaded.config
    given = {text.partition("=")[0] for text in request.overrides} | set(loaded.set_fields)
    keeps_data = request.config is not None or "data.source" in given
    for text in request.overrides:
        apply_override(config, text)
    wanted = {
        field: value
        for field, value in fields.items()
        if field not in given and not (field in _DATA_SET and keeps_data)
    }
    complete = _with_fields(config, wanted)
    wanted = {field: value for field, value in wanted.items() if is_read(complete, field)}
    before = dict(leaves(config))
    before |= {f"model.{name}": value for name, value in models.resolve(config.model).items()}
    # A file of ours has all fields; those that it leaves as they are need no mention.
    set_fields = tuple(
        f"{field}={value}"
        for field, value in wanted.items()
        if field not in own or before[field] != value
    )
    config = _with_fields(config, wanted)
    check_values(config)
    check_read(config, [text.partition("=")[0] for text in request.overrides])
    return config, set_fields


def _network(candidate: Candidate) -> dict[str, Any]:
    return {f: v for f, v in candidate.fields.items() if f.startswith("model.")}


def _with_fields(config: ConfigDict, fields: Mapping[str, Any]) -> ConfigDict:
    other = config.copy_and_resolve_references()
    with other.unlocked():
        other.update_from_flattened_dict(fields)
    return other.lock()


def _refusal(request: ImportRequest, candidate: Candidate, tensors: Tensors) -> str:
    found = candidate.fit
    only_head = all(leaf.name.startswith(HEAD[:-1]) for leaf in found.missing)
    only_head &= all(leaf.name.startswith(HEAD[:-1]) for leaf, _ in found.misshapen)
    if only_head and not found.left_over:
        way = "init_head=new" if request.target else "--head=new --classes=N"
        hint = f"the classifier does not fit: {way} makes a new one"
    else:
        hint = nearest_network(tensors, image_size(candidate.config), candidate.layout)
        hint += "" if request.target else "; --skip=PATTERN waives a name"
    by = "python -m cnn.weights import --list" if request.target else "--list"
    return (
        f"{request.field}: {request.source} is not {request.model} as --layout={candidate.layout} "
        f"names it: {found.summary()}; {hint}; {by} shows all"
    )


def _taken(request: ImportRequest, candidate: Candidate) -> dict[OurPath, np.ndarray]:
    taken, tensors = {}, candidate.tensors
    for leaf in candidate.fit.taken:
        where = f"{request.field}: {request.source}: {leaf.theirs}"
        if not jnp.issubdtype(tensors[leaf.theirs].dtype, jnp.floating):
            raise UserError(f"{where} is of type {tensors[leaf.theirs].dtype}")
        taken[leaf.ours] = leaf.bring(tensors)
        if not np.isfinite(taken[leaf.ours]).all():
            raise UserError(f"{where} holds NaN or infinity")
        if leaf.ours[0] == "batch_stats" and leaf.ours[-1] == "var" and taken[leaf.ours].min() < 0:
            raise UserError(f"{where} is a running variance and holds negative values")
    return taken


def image_size(config: ConfigDict) -> int:
    """Returns the side of the images of a config; 0: that of the network as published."""
    if is_read(config, "data.synthetic_shape"):
        return config.data.synthetic_shape[0]
    return config.data.image_size


def input_shape(config: ConfigDict, recorded: Recorded) -> tuple[int, ...]:
    """Returns the shape of a network's input for one example, `[*spatial, C]`.

    Args:
      config: of the network; foreign files are of networks for images.
      recorded: what the file says of itself, which tells the shape of other examples.
    """
    data, example = config.data, recorded.example
    if data.signal != "image" and example:
        stored = jax.ShapeDtypeStruct(tuple(example["shape"]), example["dtype"])
        return SIGNALS[data.signal].open(data, stored, tuple(data.mean), tuple(data.std)).shape
    height, width, channels = models.MODELS[config.model.name].input_shape
    size = image_size(config)
    return size or height, size or width, config.data.channels or channels
