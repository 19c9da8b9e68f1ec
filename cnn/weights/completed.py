"""Tensors that a foreign file does not have keep the network's initial values."""

from dataclasses import replace

import jax
import numpy as np

from cnn.foreign.imported import Imported, input_shape
from cnn.training.state import init_model


def completed(imported: Imported) -> Imported:
    """Returns an import with all tensors; missing ones are initialised as in training."""
    if not imported.fresh:
        return imported
    config, network = imported.candidate.config, imported.candidate.network
    shape = input_shape(config, imported.recorded)
    initial = jax.jit(lambda: init_model(network, config.seed, shape, ema=False).current())()
    leaves = {
        tuple(key.key for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(initial)
    }
    missing = {leaf.ours: np.asarray(leaves[leaf.ours]) for leaf in imported.fresh}
    return replace(imported, tensors=imported.tensors | missing)
