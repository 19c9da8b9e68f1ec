"""Exports a checkpoint as a weights file in another library's layout."""

import json
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from ml_collections import ConfigDict

from cnn import models
from cnn.config.base import get_config
from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.foreign.fitting import NORMALISATION, differing
from cnn.foreign.layouts import LAYOUTS
from cnn.foreign.layouts.layout import Path as OurPath

_COUNTER = "num_batches_tracked"
# Of the metadata: the fields of the config that the network was built and fed with.
FIELDS = "fields"
# Fields that determine the pixels that the network sees.
_SEEN = ("data.image_size", "data.crop_ratio", "data.interpolation")


def export(
    config: ConfigDict,
    num_classes: int,
    variables: dict[str, Any],
    layout_name: str,
    file: str,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
) -> tuple[int, list[str]]:
    """Writes safetensors; importing them gives the same variables, byte for byte.

    Args:
      config: of the run.
      num_classes: of the network.
      variables: of the network.
      layout_name: name in `LAYOUTS`, of one that exports.
      file: to write; replaced as a whole.
      mean: what the network's input is normalised with; kept as metadata, as the model section.
      std: likewise.

    Returns:
      The number of tensors, and a sentence for each setting in which the network differs from the
      other library's.

    Raises:
      UserError: the layout has no such network, or cannot be written.
    """
    layout = LAYOUTS.look_up(layout_name, "--layout")
    if not layout.exports:
        allowed = ", ".join(name for name, entry in LAYOUTS.items() if entry.exports)
        raise UserError(f"--layout: '{layout_name}' can be imported only; allowed: {allowed}")
    counterpart = layout.counterpart(config.model.name)
    tensors = {
        tuple(key.key for key in path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
    }
    shapes: dict[OurPath, tuple[int, ...]] = {path: t.shape for path, t in tensors.items()}
    network = models.build(config.model, num_classes)
    leaves = layout.leaves(config.model.name, network, shapes)
    found = {leaf.theirs: leaf.form.send(tensors[leaf.ours]) for leaf in leaves}
    if _COUNTER in layout.unused:
        # PyTorch refuses a state without its counters of batches.
        norms = [leaf.theirs.rpartition(".")[0] for leaf in leaves if leaf.ours[-1] == "mean"]
        found |= {f"{norm}.{_COUNTER}": np.zeros((), np.int64) for norm in norms}
    about = {"model": config.model.name, "layout": layout_name, "name": counterpart.name}
    about[FIELDS] = json.dumps(_fields(config) | {"data.mean": mean, "data.std": std})
    partial = Path(f"{file}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        safetensors.numpy.save_file(found, partial, metadata=about)
        os.replace(partial, file)
    except OSError as error:
        raise UserError(f"--to: {file} cannot be written ({error.strerror})") from error
    finally:
        partial.unlink(missing_ok=True)
    model = {n: v for n, v in counterpart.fields.items() if n not in NORMALISATION}
    return len(found), [
        f"{field} is {here!r} here and {there!r} there"
        for field, here, there in differing(config, model)
    ]


def _fields(config: ConfigDict) -> dict[str, Any]:
    """Returns what an import in our own layout needs to make the same network."""
    default = dict(leaves(get_config()))
    return {
        name: value
        for name, value in leaves(config)
        if (name.startswith("model.") and name != "model.name") or name in _SEEN
        if value != default[name]
    }
