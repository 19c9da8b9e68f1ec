"""Kinds of signals: how examples are stored, decoded and turned into the network's input."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.data.augmentation import Augment
from cnn.data.files import files_below
from cnn.data.split import Crop, DrawCrops, Split, Stored

# Sizes of stored examples, one for each axis of `Stored.axes`; None where they differ.
StoredShape = tuple[int | None, ...]


@dataclass(frozen=True)
class FileInfo:
    """The result of inspecting an example's file.

    Attributes:
      shape: of the example as it is stored; () where it is broken.
      defect: what is wrong with it, or "".
      stamp: size in bytes and modification time in ns of the inspected file.
      thorough: all of it was decoded.
    """

    shape: StoredShape = ()
    defect: str = ""
    stamp: tuple[int, int] = ()
    thorough: bool = False


class Form(Protocol):
    """The one shape and dtype that the examples of a split are decoded to.

    Attributes:
      shape: of a decoded example, channels last.
      dtype: of it.
      varying: whether a random part of a stored example can be taken while decoding.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    varying: bool

    def decode(self, payload: Any, where: str, crop: Crop | None = None) -> np.ndarray:
        """Returns one example.

        Args:
          payload: what `Codec.payload` or `Codec.from_record` brought.
          where: what messages call the example.
          crop: which part to take, as `Signal.draw_crops` drew it; None: the usual part.

        Raises:
          UserError: it cannot be decoded, naming `where`.
        """


class Codec(ABC):
    """How the sources read examples of a kind; built from the data section of a config.

    Attributes:
      feature: name of the class in `tensorflow_datasets.features` that holds them.
    """

    feature: str

    def examples(self, folder: str) -> Iterator[str]:
        """Yields the examples below a class folder: every file, unless overridden."""
        return files_below(folder)

    @abstractmethod
    def look_at(self, path: Path, thorough: bool) -> FileInfo:
        """Finds shape and defects of an example's file.

        Args:
          path: of a file, or of what `examples` yields in its place.
          thorough: decode all of it; otherwise only cheap checks.

        Raises:
          UserError: it is broken.
        """

    def look_at_content(self, content: bytes, where: str, thorough: bool) -> FileInfo:
        """Finds shape and defects of an example inside another file; see `look_at`.

        Raises:
          UserError: it is broken, or such examples are separate files.
        """
        raise UserError(f"{where}: {self.feature.lower()}s cannot be read from inside other files")

    def refused(self, shape: StoredShape) -> str:
        """Returns why the config does not take an example of such a shape, or ""."""
        return ""

    def remarks(self, shapes: Sequence[StoredShape]) -> tuple[str, ...]:
        """Returns remarks on what the config does to examples of such shapes."""
        return ()

    def payload(self, path: str, shape: StoredShape) -> Any:
        """Reads what `Form.decode` takes: the bytes of the file, unless overridden."""
        with open(path, "rb") as file:
            return file.read()

    @abstractmethod
    def stored_shape(self, feature: Any) -> StoredShape:
        """Returns the shape of examples of a TFDS feature; raises `UserError` if none fits."""

    def from_record(self, feature: Any) -> Any:
        """Takes what `Form.decode` takes out of a feature of a `tf.train.Example`."""
        return feature.bytes_list.value[0]

    @abstractmethod
    def form(self, stored: StoredShape, where: str) -> Form:
        """Returns what the examples of a split, stored like this, are decoded to.

        Raises:
          UserError: a field is missing or does not fit what is stored.
        """


@dataclass(frozen=True)
class Signal(ABC):
    """How the examples of one data set become the network's input, on the device.

    Attributes:
      example: shape and dtype of one stored example.
      mean: statistics that the network's input is normalised with; the kind says of what.
      std: likewise.
      axis_names: what an axis of the network's input is called where it has a name of its own.
      timed: whether the first axis is time.
    """

    axis_names: ClassVar[Mapping[str, str]] = {}
    timed: ClassVar[bool] = False

    example: jax.ShapeDtypeStruct
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """What the network sees of one example, `[*spatial, C]`."""
        batch = jax.ShapeDtypeStruct((1, *self.example.shape), self.example.dtype)
        return jax.eval_shape(self.prepare, batch).shape[1:]

    @property
    def milliseconds(self) -> tuple[float, float] | None:
        """Duration of a position along time and the step to the next; None without such."""
        return None

    @abstractmethod
    def prepare(self, stored: Array) -> Array:
        """Returns the network's input, float32 `[B, *shape]`, of stored examples; to be traced."""

    @abstractmethod
    def make_augment(self, augment: ConfigDict, num_classes: int, *, cropped: bool) -> Augment:
        """Builds (key, stored, labels `[B]`) -> (inputs, float32 targets `[B, K]`), to be traced.

        Args:
          augment: the augment section of a config, checked.
          num_classes: of the targets, whose rows sum to one.
          cropped: a random part was taken while decoding (`Feed.cropped`).
        """

    @abstractmethod
    def check(self, augment: ConfigDict) -> None:
        """Raises `UserError` unless the augment section can be applied to these examples."""

    def draw_crops(self, augment: ConfigDict, varying: bool) -> DrawCrops | None:
        """Returns the function that draws random crops while decoding; None without any.

        Args:
          augment: the augment section of a config.
          varying: of the split (`Form.varying`).
        """
        return None

    def views(self, count: int) -> Crop:
        """Returns a function that decodes that many views of an example, on an axis of their own.

        Raises:
          UserError: these examples have only one view.
        """
        raise UserError(f"evaluation.views: each example has one view, not {count}")

    @property
    def drawn_axes(self) -> str:
        """Description of the axes of `pictures`, with units; "" for images."""
        return ""

    def pictures(self, stored: np.ndarray) -> np.ndarray:
        """Returns stored examples `[B, ...]` as pixels `[B, H, W, C]` of 0 to 255."""
        return stored

    def upright(self, maps: np.ndarray) -> np.ndarray:
        """Reorients maps `[B, *spatial, ...]` to the axes of pictures, `[B, h, w, ...]`."""
        return maps


@dataclass(frozen=True)
class SignalKind:
    """One entry of the registry.

    Attributes:
      about: one line.
      reads: fields that have an effect on these examples and not on all.
      stored: how examples are kept in memory.
      codec: from the data section of a config.
      measure: (data section, train split) -> mean and std.
      count: (data section, example) -> how many values mean and std have.
      open: (data section, example, mean, std) -> the signal; raises `UserError` for fields that do
        not fit the examples.
      unit: what a step along an axis of the network's input is called.
      by_channel: whether mean and std are those of the channels of the network's input.
      form_fields: shape of a stored example -> fields of the data section that bring other examples
        to that shape, for files of weights.
    """

    about: str
    reads: frozenset[str]
    stored: Stored
    codec: Callable[[ConfigDict], Codec]
    measure: Callable[[ConfigDict, Split], tuple[tuple[float, ...], tuple[float, ...]]]
    count: Callable[[ConfigDict, jax.ShapeDtypeStruct], int]
    open: Callable[
        [ConfigDict, jax.ShapeDtypeStruct, Sequence[float], Sequence[float]],
        Signal,
    ]
    unit: str = "pixels"
    by_channel: bool = True
    form_fields: Callable[[Sequence[int]], dict[str, int]] = lambda shape: {}


# Fields that pictures read, alone or in a row.
OF_PICTURES = frozenset(
    {
        "image_size",
        "channels",
        "augment.flip",
        "augment.alternate",
        "augment.pad",
        "augment.pad_mode",
        "augment.random_resized_crop",
        "augment.cutout",
        "augment.cutmix",
        "augment.extra",
        "augment.color_ops",
        "augment.color_magnitude",
    }
)

SIGNALS: Registry[SignalKind] = Registry("signal", "data.signal")
