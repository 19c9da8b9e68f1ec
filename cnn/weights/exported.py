"""Exports a checkpoint as a weights file in another library's layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from ml_collections import ConfigDict

from cnn import models
from cnn.config.atomic import whole_file
from cnn.config.errors import UserError
from cnn.foreign.fitting import NORMALISATION, differing
from cnn.foreign.layouts import LAYOUTS
from cnn.foreign.layouts.layout import Path as OurPath
from cnn.foreign.recorded import recorded_of
from cnn.training.run_folder import check_output

_COUNTER = "num_batches_tracked"
_NO_DATA: Mapping[str, Any] = {"mean": (), "std": ()}


def export(
    config: ConfigDict,
    num_classes: int,
    variables: dict[str, Any],
    layout_name: str,
    file: str,
    resolved: Mapping[str, Any] = _NO_DATA,
) -> tuple[int, list[str]]:
    """Writes safetensors; importing them gives the same variables, byte for byte.

    The metadata keep the fields that the logits depend on, and the class names.

    Args:
      config: of the run.
      num_classes: of the network.
      variables: of the network.
      layout_name: name in `LAYOUTS`, of one that exports.
      file: to write; replaced as a whole.
      resolved: what the run recorded of its data: mean, std, example, identity.

    Returns:
      The number of tensors, and a sentence for each setting in which the network differs from the
      other library's.

    Raises:
      UserError: the layout has no such network, or cannot be written; or the file belongs to a run.
    """
    check_output(Path(file), "--to")
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
    about = {"name": counterpart.name}
    about |= recorded_of(config, layout_name, resolved).metadata()
    _write(found, about, file)
    model = {n: v for n, v in counterpart.fields.items() if n not in NORMALISATION}
    return len(found), [
        f"{field} is {here!r} here and {there!r} there"
        for field, here, there in differing(config, model)
    ]


def _write(tensors: dict[str, np.ndarray], about: dict[str, str], file: str) -> None:
    """Writes the file as a whole; raises `UserError` if it cannot be."""
    try:
        with whole_file(Path(file)) as partial:
            safetensors.numpy.save_file(tensors, partial, metadata=about)
    except OSError as error:
        raise UserError(f"--to: {file} cannot be written ({error.strerror})") from error
