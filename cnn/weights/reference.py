"""Compares our logits with those of the source."""

from pathlib import Path

import jax
import numpy as np

from cnn.config.errors import UserError
from cnn.data.augmentation import normalize
from cnn.foreign.imported import Imported
from cnn.foreign.readers import read

TOLERANCE = 1e-4
_BATCH = 16


def check(imported: Imported, file: str, tolerance: float = TOLERANCE) -> float:
    """Compares our logits with a source's on the same inputs.

    Args:
      imported: the network and its weights.
      file: .npz or safetensors of `inputs` `[N, H, W, C]` or `[N, C, H, W]`, float as the source's
        network sees them or uint8 pixels, which ours normalises; and `logits` `[N, K]`.
      tolerance: largest difference, as a share of the largest logit.

    Returns:
      The largest difference, as a share of the largest logit.

    Raises:
      UserError: the file does not fit, or the difference is larger.
    """
    tensors = read(file, "--check").tensors
    missing = {"inputs", "logits"} - set(tensors)
    if missing:
        names = ", ".join(sorted(missing))
        raise UserError(f"--check: {file} has no {names}; it must contain inputs and logits")
    x, wanted = _channels_last(tensors["inputs"], file), tensors["logits"].astype(np.float32)
    if wanted.shape != (len(x), imported.candidate.num_classes):
        shape = (len(x), imported.candidate.num_classes)
        raise UserError(f"--check: {file} has logits {wanted.shape}; the network gives {shape}")
    if x.dtype == np.uint8:
        data = imported.candidate.config.data
        if not (data.mean and data.std):
            raise UserError(
                f"--check: {file} holds pixels, but the layout sets no normalisation; set "
                "--config.data.mean and --config.data.std"
            )
        x = np.asarray(normalize(x, data.mean, data.std))
    found = network_logits(imported, x)
    error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    if not error <= tolerance:
        same = int((found.argmax(-1) == wanted.argmax(-1)).sum())
        raise UserError(
            f"--check: logits differ by {error:.1e} of the largest, more than {tolerance:.0e}, and "
            f"{same} of {len(x)} predictions agree; the tensors fit, so look at the padding, the "
            "activation, epsilon and the normalisation that the layout sets, and at --model"
        )
    return error


def network_logits(imported: Imported, x: np.ndarray) -> np.ndarray:
    """Returns the network's logits `[N, K]` for inputs `[N, H, W, C]`."""
    network = imported.candidate.network
    run = jax.jit(lambda variables, x: network.apply(variables, x, train=False))
    parts = [x[start : start + _BATCH] for start in range(0, len(x), _BATCH)]
    return np.concatenate([run(imported.variables, part) for part in parts])


def _channels_last(x: np.ndarray, file: str) -> np.ndarray:
    last, second = x.ndim == 4 and x.shape[3] in (1, 3), x.ndim == 4 and x.shape[1] in (1, 3)
    if last == second:
        raise UserError(
            f"--check: {Path(file).name} has inputs {x.shape}; images of 1 or 3 channels are "
            "needed, as [N, H, W, C] or [N, C, H, W]"
        )
    x = x if last else x.transpose(0, 2, 3, 1)
    return x if x.dtype == np.uint8 else x.astype(np.float32)
