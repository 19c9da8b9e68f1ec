"""Training from the weights of another run, an import, or another library's file."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cnn import models
from cnn.config.errors import UserError
from cnn.data.dataset import Dataset
from cnn.foreign.fitting import difference_sentences
from cnn.foreign.imported import ImportRequest, Target, bring
from cnn.training.inflation import inflated
from cnn.training.state import ModelState
from cnn.training.stored_weights import StoredWeights, read_weights
from cnn.training.whitening import whitened_start

S = TypeVar("S", bound=ModelState)

_HEAD = "params/head/classifier/"
_SHOWN = 3


@dataclass(frozen=True)
class Start:
    """The weights that a training run starts from (possibly none) or distils from.

    Attributes:
      tensors: by path, such as "params/stem/conv/kernel".
      origin: what the run's record keeps, as JSON has it: {"from", "sha256" of the tensors, "step"
        or "layout", "differs"}; {}: nothing was loaded.
      use: what they are used for, in words.
    """

    tensors: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    origin: Mapping[str, Any] = field(default_factory=dict)
    use: str = "starts from"

    @property
    def content(self) -> str:
        """SHA-256 of the tensors, part of the run's fingerprint; "" without any."""
        return self.origin.get("sha256", "")

    @property
    def remark(self) -> str:
        """What was loaded, in a sentence; "" without anything."""
        if not self.origin:
            return ""
        place = f"step {self.origin['step']}" if "step" in self.origin else self.origin["layout"]
        start = f"{self.use} {self.origin['from']} ({place}, sha256 {self.content[:12]})"
        return "; ".join((start, *self.origin["differs"]))


def starting_weights(config: ConfigDict, initial: ModelState, dataset: Dataset) -> Start:
    """Returns the variables that a training run starts from.

    Parameters and batch statistics are taken from what `config.init_from` names: a run folder, one
    of its checkpoints (the averaged ones where it has them), or a foreign weights file, by the
    rules of `python -m cnn.weights import`; with `init_head=new` all but those of the classifier.
    With `init_whitening` one layer starts from the training images, see `whitened_start`.

    Args:
      config: of the training.
      initial: shapes of its state.
      dataset: whose training split whitens a layer.

    Raises:
      UserError: they are of another network, or of other classes without `init_head=new`; the
        network has no layer to whiten.
    """
    wanted = {_name(path): leaf for path, leaf in _leaves(initial.current())}
    if not config.init_from:
        for name, default in (("init_head", "keep"), ("init_inflation", "none")):
            if config[name] != default:
                raise UserError(f"{name}: has no effect without init_from; leave it out")
        if not config.init_whitening:
            return Start()
        # They are computed from this data, so there is nothing loaded to record.
        prepare = jax.jit(dataset.signal.prepare)
        return Start(whitened_start(dataset.train, prepare, config.init_whitening, wanted))
    if config.init_whitening:
        raise UserError("init_whitening: has no effect with init_from; leave one of them out")
    if Path(config.init_from).is_file():
        tensors, origin = _of_file(config, wanted)
    else:
        tensors, origin = _of_run(config, wanted)
    digest = {"from": config.init_from, "sha256": digest_of(tensors)}
    return Start(tensors, digest | origin)


def tensors_of(stored: StoredWeights) -> dict[str, np.ndarray]:
    """Returns the variables of a checkpoint by their paths."""
    return {_name(path): leaf for path, leaf in _leaves(stored.variables)}


def _of_file(config: ConfigDict, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    shapes = {tuple(name.split("/")): leaf.shape for name, leaf in wanted.items()}
    if config.init_inflation != "none":
        raise UserError(
            f"init_inflation: {config.init_from} is a file; import the image network into a run "
            "folder first (python -m cnn.weights import), and start from that"
        )
    imported = bring(
        ImportRequest(
            config.model.name,
            config.init_from,
            new_head=config.init_head == "new",
            target=Target(config, shapes, wanted[f"{_HEAD}kernel"].shape[-1]),
            field="init_from",
        )
    )
    tensors = {"/".join(path): tensor for path, tensor in imported.tensors.items()}
    candidate = imported.candidate
    return tensors, {"layout": candidate.layout, "differs": list(candidate.set_fields)}


def _of_run(config: ConfigDict, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    stored = read_weights(config.init_from, "init_from")
    found = tensors_of(stored)
    if config.init_head == "new":
        wanted, found = (
            {name: leaf for name, leaf in side.items() if not name.startswith(_HEAD)}
            for side in (wanted, found)
        )
    if config.init_inflation != "none":
        found = inflated(found, wanted, config.init_inflation)
    _check(config, stored, wanted, found)
    model = models.resolve(stored.config.model)
    fields = {f"model.{name}": model[name] for name in model if name != "name"}
    fields |= {"data.mean": stored.mean, "data.std": stored.std}
    differs = difference_sentences(config, fields)
    return found, {"step": stored.step, "differs": list(differs)}


def started(state: S, start: Start) -> S:
    """Returns a state with the variables that `starting_weights` took, its averages included.

    Leaves with an extra axis of replicas get the same values in each row.
    """
    if not start.tensors:
        return state

    def put(path: Any, leaf: jax.Array) -> jax.Array:
        value = start.tensors.get(_name(path))
        if value is None:
            return leaf
        return jax.device_put(np.broadcast_to(value, leaf.shape), leaf.sharding)

    current = jax.tree_util.tree_map_with_path(put, state.current())
    # A copy: the step donates its state, and one buffer cannot be donated twice.
    ema = jax.tree.map(jnp.copy, current) if state.ema else {}
    params = current.pop("params")
    return state.replace(params=params, collections=current, ema=ema)


def digest_of(tensors: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 of arrays with their paths, types and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


def _check(
    config: ConfigDict, stored: StoredWeights, wanted: dict[str, Any], found: dict[str, Any]
) -> None:
    misshapen = [
        f"{name} {found[name].shape} instead of {leaf.shape}"
        for name, leaf in wanted.items()
        if name in found and found[name].shape != leaf.shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in found],
        "of another shape": misshapen,
        "left over": [name for name in found if name not in wanted],
    }
    if not any(problems.values()):
        return
    others = [name for names in problems.values() for name in names if not name.startswith(_HEAD)]
    if not others:
        raise UserError(
            f"init_from: {config.init_from} has another number of classes ({misshapen[0]}); set "
            "init_head=new"
        )
    reasons = [
        f"{len(names)} {kind} (first: {', '.join(names[:_SHOWN])})"
        for kind, names in problems.items()
        if names
    ]
    clips = [models.MODELS[c.model.name].clips for c in (stored.config, config)]
    hint = "; init_inflation=mean or centre inflates kernels of images to clips"
    raise UserError(
        f"init_from: {config.init_from} has a network ({stored.config.model.name}) that is not "
        f"model.name={config.model.name}: {'; '.join(reasons)}"
        f"{hint if clips == [False, True] and config.init_inflation == 'none' else ''}"
    )


def _leaves(variables: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(variables)


def _name(path: Any) -> str:
    return "/".join(key.key for key in path)
