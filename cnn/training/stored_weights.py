"""Variables of a checkpoint, without the data set; for export and fine-tuning."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.training.checkpoint import Checkpoints, DamagedCheckpointError
from cnn.training.run_folder import RunFolder

_CHECKPOINT = re.compile(r"\d+")


@dataclass(frozen=True)
class StoredWeights:
    """One checkpoint of a run or of an import.

    Attributes:
      config: of the run.
      step: of the checkpoint.
      variables: of the network, the averaged ones where the run kept them.
      resolved: what the run recorded of its data, see `RunFolder.record`.
    """

    config: ConfigDict
    step: int
    variables: dict[str, Any]
    resolved: Mapping[str, Any]

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean that the network's input was normalised with."""
        return tuple(self.resolved["mean"])

    @property
    def std(self) -> tuple[float, ...]:
        """Likewise."""
        return tuple(self.resolved["std"])

    @property
    def num_classes(self) -> int:
        """Of the network's classifier."""
        return self.variables["params"]["head"]["classifier"]["kernel"].shape[-1]


def read_weights(path: str, field: str, step: str = "last") -> StoredWeights:
    """Reads a run folder, or one of its checkpoints.

    Args:
      path: DIR or DIR/checkpoints/N.
      field: that messages name.
      step: of a run folder: last, best or a number.

    Raises:
      UserError: it is neither, or damaged.
    """
    place = Path(path).absolute()
    if place.is_file():
        raise UserError(f"{field}: {path} is a file; give a run folder, or a checkpoint of one")
    if place.parent.name == "checkpoints" and _CHECKPOINT.fullmatch(place.name):
        place, step = place.parent.parent, place.name
    folder = RunFolder(place)
    if not folder.config_file.is_file() or not folder.checkpoints.is_dir():
        raise UserError(
            f"{field}: {path} is neither a run folder with checkpoints nor a checkpoint"
        )
    record, config = folder.record(), folder.config()
    checkpoints = Checkpoints(folder.checkpoints, read_only=True)
    try:
        number = checkpoints.find(step, field)
        variables = checkpoints.variables(number)
    except DamagedCheckpointError as error:
        raise UserError(f"{field}: {path}: the checkpoint is damaged ({error})") from error
    finally:
        checkpoints.close()
    arrays = jax.tree.map(np.asarray, variables)
    return StoredWeights(config, number, arrays, record["resolved"])
