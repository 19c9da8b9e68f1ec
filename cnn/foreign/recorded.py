"""What an export of ours stores beside the tensors: fields, class names and the stored example."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_collections import ConfigDict

from cnn import models
from cnn.config.base import FIELDS
from cnn.config.check import is_read
from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.data import SIGNALS
from cnn.foreign.readers.weights_file import WeightsFile

# Sources that do not resize images have the defaults of the last three: the whole image.
_OF_DATA = (
    *("data.signal", "data.test_split"),
    *("data.image_size", "data.interpolation", "data.crop_ratio"),
)
_KEYS = ("fields", "class_names", "example")


@dataclass(frozen=True)
class Recorded:
    """What a file says of its network and of the network's input.

    Attributes:
      model: name of the network; "": the file was not exported here.
      layout: of the tensors' names; "" likewise.
      fields: complete values of all fields on which the logits of a stored example depend.
      class_names: of the outputs; (): unknown.
      example: shape and dtype of a stored example, as JSON has it; {}: unknown.
    """

    model: str = ""
    layout: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Returns texts for a file's metadata."""
        values = (dict(self.fields), list(self.class_names), dict(self.example))
        texts = {key: json.dumps(value) for key, value in zip(_KEYS, values, strict=True)}
        return {"model": self.model, "layout": self.layout, **texts}


def recorded_of(config: ConfigDict, layout: str, resolved: Mapping[str, Any]) -> Recorded:
    """Returns what an export of a run stores.

    Fields are stored with their values, not only where they differ from the defaults: an import
    must not fill them with what the other library would have.

    Args:
      config: of the run.
      layout: that is written.
      resolved: what the run recorded of its data: mean, std and, if known, example and identity.
    """
    model = models.resolve(config.model)
    fields = {f"model.{name}": model[name] for name in model if name != "name"}
    values, example = dict(leaves(config)), resolved.get("example", {})
    signal = config.data.signal
    of_signal = [name for name in values if name.startswith(f"data.{signal}.")]
    of_source = ["data.name"] if is_read(config, "data.name") else []
    fields |= {name: values[name] for name in (*_OF_DATA, *of_signal, *of_source)}
    if example:
        found = SIGNALS[signal].form_fields(example["shape"])
        fields |= {f"data.{name}": value for name, value in found.items()}
    fields |= {f"data.{n}": tuple(resolved[n]) for n in ("mean", "std") if resolved[n]}
    names = resolved.get("identity", {}).get("class_names", ())
    return Recorded(config.model.name, layout, fields, tuple(names), example)


def recorded_in(file: WeightsFile) -> Recorded:
    """Returns what a file of ours stores; empty for the files of others.

    Raises:
      UserError: the metadata is damaged.
    """
    try:
        fields, names, example = (json.loads(file.metadata.get(key, "{}")) for key in _KEYS)
        known = {
            n: tuple(v) if isinstance(v, list) else v for n, v in fields.items() if n in FIELDS
        }
        model, layout = (file.metadata.get(n, "") if fields else "" for n in ("model", "layout"))
        return Recorded(model, layout, known, tuple(map(str, names)), dict(example))
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(
            "--from: the metadata of the file is not what python -m cnn.weights export writes; "
            "export the run again"
        ) from error
