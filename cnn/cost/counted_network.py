"""The network that `python -m cnn.cost` counts, with its input and classes."""

from collections.abc import Collection
from dataclasses import dataclass

import jax
from ml_collections import ConfigDict

from cnn import models
from cnn.config.errors import UserError
from cnn.config.plugin import check_plugins
from cnn.data import SIGNALS, SOURCES, Split, recorded_dataset
from cnn.training.run_folder import RunFolder

_WITHOUT_DATA = "--image=HEIGHT,WIDTH,CHANNELS and --classes=N give others"


@dataclass(frozen=True)
class CountedNetwork:
    """A network and its input.

    Attributes:
      model: config.model.
      shape: of the input of one example, `[*spatial, C]`.
      classes: of the classifier.
      remark: a sentence on what was assumed; "": nothing.
    """

    model: ConfigDict
    shape: tuple[int, ...]
    classes: int
    remark: str = ""


def of_run(workdir: str) -> CountedNetwork:
    """Returns the network of a run or of an import; the data set need not be there.

    Raises:
      UserError: there is no run, or it did not record the shape of its examples.
    """
    folder = RunFolder(workdir)
    resolved, config = folder.record()["resolved"], folder.config()
    check_plugins(config.plugins, str(folder.path))
    if "example" not in resolved:
        raise UserError(
            f"--workdir: {folder.path} did not record the shape of its examples; give its config "
            "as --config=FILE, and --image=HEIGHT,WIDTH,CHANNELS"
        )
    with config.unlocked():
        config.data.mean, config.data.std = (tuple(resolved[name]) for name in ("mean", "std"))
    dataset = recorded_dataset(config.data, resolved)
    return CountedNetwork(config.model, dataset.input_shape, dataset.num_classes)


def of_config(config: ConfigDict, set_fields: Collection[str]) -> CountedNetwork:
    """Returns the network of a config.

    The shape is `data.image_size` where that is set, else that of the stored examples if the config
    names data that are here, else the one that the network was published for.

    Args:
      config: complete.
      set_fields: those that a config file or the command line set.
    """
    published = models.MODELS.look_up(config.model.name, "model.name").input_shape
    classes, size = 1000 if published[0] >= 224 else 10, config.data.image_size
    if size and len(published) == 3:
        shape = (size, size, config.data.channels or published[-1])
        return CountedNetwork(config.model, shape, classes)
    why = f"the network was published for it; {_WITHOUT_DATA}"
    if any(name.startswith("data.") for name in set_fields):
        try:
            reader = SOURCES.look_up(config.data.source, "data.source").open(config.data)
            split = reader.split(config.data.train_split, "data.train_split")
        except UserError as error:
            why = f"{why} ({str(error).partition(';')[0]})"
        else:
            if all(split.shape):
                return CountedNetwork(
                    config.model, _input_shape(config.data, split), split.num_classes
                )
    shape = "x".join(map(str, published))
    return CountedNetwork(config.model, published, classes, f"{shape} is assumed: {why}")


def _input_shape(data: ConfigDict, split: Split) -> tuple[int, ...]:
    """Returns what the network sees of an example; mean and standard deviation do not matter."""
    kind = SIGNALS[data.signal]
    example = jax.ShapeDtypeStruct(split.shape, kind.stored.dtype)
    values = kind.count(data, example)
    return kind.open(data, example, (0.0,) * values, (1.0,) * values).shape
