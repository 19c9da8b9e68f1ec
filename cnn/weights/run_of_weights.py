"""Writes imported weights as a run folder for evaluation, cost and fine-tuning."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from cnn.config.atomic import whole_folder, write_atomically
from cnn.config.errors import UserError
from cnn.config.record import fingerprint, to_plain
from cnn.foreign.imported import Imported, input_shape
from cnn.training.checkpoint import Checkpoints
from cnn.training.metrics import RunningMetrics
from cnn.training.provenance import provenance
from cnn.training.run_folder import RunFolder, check_free
from cnn.training.state import ModelState


def write(
    imported: Imported, workdir: str, checked: float | None, class_names: Sequence[str] = ()
) -> RunFolder:
    """Writes config.json, weights.json and a checkpoint of step 0, completely or not at all.

    Args:
      imported: the network and its weights.
      workdir: a folder that is not there yet, or is empty.
      checked: what `reference.check` returned; None: not checked.
      class_names: of the outputs; (): unknown, so labels are used as output indices.

    Raises:
      UserError: the folder is not empty, or cannot be written.
    """
    target = Path(workdir).absolute()
    check_free(target, "--workdir")
    config = imported.candidate.config
    normalised = {name: list(config.data[name]) for name in ("mean", "std")}
    resolved = {"total_steps": 0, **normalised}
    resolved |= {"example": _example(imported), "num_classes": imported.candidate.num_classes}
    if class_names:
        # Of the data that the weights were trained on nothing else is known.
        of_data: dict[str, Any] = {"examples": {}, "fingerprint": {}}
        resolved["identity"] = of_data | {"class_names": list(class_names)}
    origin = imported.origin | {"checked": checked}
    try:
        with whole_folder(target) as partial:
            folder = RunFolder(partial)
            folder.claim(config, resolved)
            write_atomically(folder.weights_file, json.dumps(origin, indent=2) + "\n")
            with closing(Checkpoints(folder.checkpoints)) as checkpoints:
                checkpoints.save(0, _state(imported), _meta(imported), None)
                checkpoints.wait()
    except OSError as error:
        raise UserError(f"--workdir: {target} cannot be written ({error.strerror})") from error
    return RunFolder(target)


def _example(imported: Imported) -> dict[str, Any]:
    """Returns shape and dtype of a stored example: those of the source, unless resized here."""
    config, stored = imported.candidate.config, dict(imported.recorded.example)
    size = config.data.image_size
    if stored and (config.data.signal != "image" or size in (0, stored["shape"][0])):
        return stored
    return {"shape": list(input_shape(config, imported.recorded)), "dtype": "uint8"}


def _state(imported: Imported) -> ModelState:
    variables = dict(imported.variables)
    # Evaluation takes the averages where a config keeps them.
    average = variables if imported.candidate.config.train.ema_decay > 0 else {}
    own = {name: variables[name] for name in variables if name != "params"}
    return ModelState(np.zeros((), np.int32), variables["params"], own, average)


def _meta(imported: Imported) -> dict[str, Any]:
    config = imported.candidate.config
    return {
        "step": 0,
        "config": to_plain(config),
        "fingerprint": fingerprint(config),
        "window": RunningMetrics().totals(),
        "best": None,
        "seconds": 0.0,
        "versions": provenance()["versions"],
    }
