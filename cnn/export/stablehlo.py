"""Exports a checkpoint as a serialized StableHLO program, with a description next to it."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array, export

from cnn.config.atomic import whole_file, write_atomically
from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.training.provenance import provenance
from cnn.training.run_folder import check_output

PROGRAM, DESCRIPTION, GOLDEN = "model.stablehlo", "export.json", "golden.npz"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
GOLDEN_EXAMPLES = 4


def export_run(
    run: CheckpointedRun,
    folder: str | Path,
    *,
    batch: int | None = None,
    platforms: Sequence[str] = ("cpu",),
) -> Path:
    """Writes the program, its description and golden logits; returns the folder.

    The program maps stored examples, such as uint8 pixels `[B, H, W, C]`, to float32 logits
    `[B, K]`: normalisation and parameters are part of it. `golden.npz` holds random examples and
    the logits that the run's own network gives for them.

    Args:
      run: the checkpoint.
      folder: to write to; existing files of these names are replaced.
      batch: examples per call; None: any number.
      platforms: to compile for, of `PLATFORMS`.

    Raises:
      UserError: the network cannot be exported so, or the folder cannot be written, or belongs to a
        run.
    """
    folder, stored = Path(folder), run.evaluator.dataset.signal.example
    check_output(folder / PROGRAM, "--to")
    size = batch if batch else export.symbolic_shape("b")[0]
    example = jax.ShapeDtypeStruct((size, *stored.shape), stored.dtype)

    def logits(examples: Array) -> Array:
        prepared = run.evaluator.dataset.signal.prepare(examples)
        return run.evaluator.model.apply(run.variables, prepared, train=False)

    try:
        program = export.export(jax.jit(logits), platforms=platforms)(example).serialize()
    except Exception as error:
        raise UserError(
            f"--batch, --platform: {run.folder.path} cannot be exported with them "
            f"({str(error).splitlines()[0]}); try a fixed --batch, or one platform"
        ) from error
    inputs = _random_examples((batch or GOLDEN_EXAMPLES, *stored.shape), stored.dtype)
    description = _describe(run, batch, platforms) | {"sha256": hashlib.sha256(program).hexdigest()}
    try:
        with whole_file(folder / PROGRAM) as partial:
            partial.write_bytes(program)
        with whole_file(folder / GOLDEN) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, inputs=inputs, logits=np.asarray(jax.jit(logits)(inputs)))
        write_atomically(folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"--to: cannot write {folder} ({error.strerror})") from error
    return folder


def _random_examples(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    rng = np.random.default_rng(0)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return rng.standard_normal(shape).astype(dtype)


def _describe(run: CheckpointedRun, batch: int | None, platforms: Sequence[str]) -> dict[str, Any]:
    config, dataset = run.evaluator.config, run.evaluator.dataset
    return {
        "network": config.model.name,
        "signal": config.data.signal,
        "input": {
            "shape": [batch, *dataset.signal.example.shape],
            "dtype": np.dtype(dataset.signal.example.dtype).name,
            "image_size": config.data.image_size,
        },
        "normalisation": {"mean": list(dataset.mean), "std": list(dataset.std), "inside": True},
        "class_names": list(dataset.class_names),
        "platforms": list(platforms),
        "step": run.step,
        "fingerprint": run.folder.record()["fingerprint"],
        "versions": provenance()["versions"],
    }
