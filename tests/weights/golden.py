"""Networks of other libraries, as benchmarks/golden_weights.py recorded them."""

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.golden_weights import FOLDER, fan_in, values
from cnn import models
from cnn.config.base import get_config
from cnn.foreign.fitting import configured, shapes_of
from cnn.foreign.layouts import LAYOUTS

FILES = sorted(FOLDER.glob("*-*.json"))


@dataclass(frozen=True)
class Golden:
    """A network of another library: its tensors, and logits that it computed."""

    layout_name: str
    name: str
    fields: dict
    tensor_shapes: dict
    logits: dict
    classes = 7

    @cached_property
    def tensors(self):
        keras = self.layout_name == "keras"
        return {
            name: np.zeros(shape, np.int64)
            if name.endswith("num_batches_tracked")
            else values(name, tuple(shape), fan_in(tuple(shape), keras=keras))
            for name, shape in self.tensor_shapes.items()
        }

    @property
    def layout(self):
        return LAYOUTS[self.layout_name]

    @property
    def model(self):
        model = configured(get_config().model, self.layout, self.name)
        with model.unlocked():
            for field, value in self.fields.items():
                model[field] = tuple(value) if isinstance(value, list) else value
        return model

    @property
    def network(self):
        return models.build(self.model, self.classes)

    def leaves(self):
        size = next(iter(self.logits)).split("x")[0]
        shapes = shapes_of(self.model, self.classes, (int(size), int(size), 3))
        return self.layout.leaves(self.name, self.network, shapes)


def read_golden(file):
    found = json.loads(file.read_text())
    return Golden(*(found[k] for k in ("layout", "model", "fields", "tensors", "logits")))
