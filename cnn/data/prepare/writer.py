"""Writes a TFDS data set in the array_record format, completely or not at all.

TFDS orders the examples of a split by the MD5 of the split's name and the example's key. The
same keys therefore give the same order as TFDS' own builder.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from cnn.config.atomic import whole_folder
from cnn.config.errors import UserError
from cnn.data.files import shown

_SHARD = 256 << 20  # bytes of a shard, at most about
_FEATURES = "tensorflow_datasets.core.features"

# Key, unique in its split, and values by feature.
Example = tuple[int | str, dict[str, Any]]


@dataclass(frozen=True)
class Feature:
    """One feature: how it is described in features.json, and how values become a tf.train.Feature.

    Attributes:
      about: for features.json.
      kind: "bytes" or "int64": the list of tf.train.Feature.
      names: of classes; values are then names or numbers.
    """

    about: Mapping[str, Any]
    kind: str
    names: tuple[str, ...] = ()

    def values(self, value: Any) -> list[Any]:
        """Returns what the list holds."""
        if self.names:
            return [self.names.index(value) if isinstance(value, str) else int(value)]
        if self.kind == "bytes":
            return [value.encode() if isinstance(value, str) else value]
        return np.asarray(value).tolist()


def image(*shape: int | None, encoding: str = "png") -> Feature:
    """Encoded images; the shape is (height, width, channels), None where images differ."""
    dimensions = ["-1" if size is None else str(size) for size in shape]
    described = {"shape": {"dimensions": dimensions}, "dtype": "uint8", "encodingFormat": encoding}
    name = f"{_FEATURES}.image_feature.Image"
    return Feature({"pythonClassName": name, "image": described}, "bytes")


def sound(rate: int) -> Feature:
    """Samples of 16 bits at a rate."""
    described = {
        "shape": {"dimensions": ["-1"]},
        "dtype": "int16",
        "sampleRate": str(rate),
        "encoding": "none",
    }
    name = f"{_FEATURES}.audio_feature.Audio"
    return Feature({"pythonClassName": name, "audio": described}, "int64")


def text() -> Feature:
    """A text."""
    return Feature({"pythonClassName": f"{_FEATURES}.text_feature.Text", "text": {}}, "bytes")


def label(names: tuple[str, ...]) -> Feature:
    """A class."""
    described = {"numClasses": str(len(names))}
    name = f"{_FEATURES}.class_label_feature.ClassLabel"
    return Feature({"pythonClassName": name, "classLabel": described}, "int64", names)


def png(pixels: np.ndarray) -> bytes:
    """Encodes uint8 `[H, W, 1 or 3]`, RGB."""
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.shape[-1] == 3 else pixels
    return cv2.imencode(".png", stored)[1].tobytes()


@dataclass(frozen=True)
class PreparedSet:
    """What is to be written.

    Attributes:
      name: of the data set.
      version: of it.
      features: by name.
      splits: name -> a function that yields the examples.
      config: part of a data set that has several; "" has one.
      about: one sentence.
      homepage: address.
      supervised: names of the input and the label.
    """

    name: str
    version: str
    features: Mapping[str, Feature]
    splits: Mapping[str, Callable[[], Iterator[Example]]]
    config: str = ""
    about: str = ""
    homepage: str = ""
    supervised: tuple[str, str] = ("image", "label")

    @property
    def folder(self) -> Path:
        """Where it lies below a folder of data sets."""
        return Path(self.name) / self.config / self.version


def write_data_set(prepared: PreparedSet, root: Path) -> dict[str, int]:
    """Writes a data set below `root`; returns the number of examples of each split.

    An error or an interruption leaves no files; those of a killed process are removed.

    Raises:
      UserError: the path is not UTF-8, the set exists or is being written, two examples have the
        same key, or the disk is full.
    """
    target = root / prepared.folder
    if shown(target) != str(target):
        raise UserError(f"--to: {shown(root)}: folders of data sets must be UTF-8; give another")
    if target.exists():
        raise UserError(f"{shown(target)}: already exists; remove it to prepare it again")
    with whole_folder(target) as partial:
        described = [
            _write_split(prepared, name, examples(), partial)
            for name, examples in prepared.splits.items()
        ]
        _describe(prepared, described, partial)
    return {split["name"]: sum(map(int, split["shardLengths"])) for split in described}


def _write_split(
    prepared: PreparedSet, split: str, examples: Iterator[Example], folder: Path
) -> dict[str, Any]:
    """Writes the shards of a split in TFDS' order; returns what dataset_info.json says of it."""
    with TemporaryFile(dir=folder) as spilled:
        places = _spill(prepared, split, examples, spilled)
        size = sum(length for _, _, length in places)
        _check_room(folder, size)
        count = max(1, -(-size // _SHARD))
        bounds = [i * len(places) // count for i in range(count + 1)]
        for shard in range(count):
            name = f"{prepared.name}-{split}.array_record-{shard:05}-of-{count:05}"
            part = places[bounds[shard] : bounds[shard + 1]]
            _write_shard(folder / name, part, spilled)
    lengths = [str(stop - start) for start, stop in pairwise(bounds)]
    return {
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "name": split,
        "numBytes": str(size),
        "shardLengths": lengths,
    }


def _spill(
    prepared: PreparedSet, split: str, examples: Iterator[Example], file: Any
) -> list[tuple[bytes, int, int]]:
    """Writes records as they come; returns (hash, offset, length) of each in TFDS' order."""
    salt, places, at = hashlib.md5(split.encode()), [], 0
    for key, values in _with_bar(examples, f"{prepared.name} {split}"):
        digest = salt.copy()
        digest.update(str(key).encode())
        record = _record(prepared.features, values)
        file.write(record)
        places.append((digest.digest(), at, len(record)))
        at += len(record)
    file.flush()
    places.sort()
    for before, after in pairwise(places):
        if before[0] == after[0]:
            raise UserError(f"{prepared.name}: two examples of {split} have the same key")
    if not places:
        raise UserError(f"{prepared.name}: {split} has no examples")
    return places


def _record(features: Mapping[str, Feature], values: Mapping[str, Any]) -> bytes:
    from tensorflow_datasets.proto import tf_example_pb2

    example = tf_example_pb2.Example()
    for name, feature in features.items():
        stored = getattr(example.features.feature[name], f"{feature.kind}_list")
        stored.value.extend(feature.values(values[name]))
    return example.SerializeToString(deterministic=True)


def _write_shard(path: Path, places: list[tuple[bytes, int, int]], spilled: Any) -> None:
    from array_record.python import array_record_module

    try:
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        for _, at, length in places:
            spilled.seek(at)
            writer.write(spilled.read(length))
        writer.close()
    except RuntimeError as error:
        raise UserError(
            f"{shown(path)}: cannot be written: {' '.join(str(error).split())}"
        ) from error


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{shown(folder)}: {free >> 20:,} MiB are free but {needed >> 20:,} MiB are needed; "
            "free some space, or choose another folder with --to"
        )


def _describe(prepared: PreparedSet, splits: list[dict[str, Any]], folder: Path) -> None:
    """Writes dataset_info.json, features.json and the names of classes."""
    keys = [{"featureKey": name} for name in prepared.supervised]
    info = {
        "description": prepared.about,
        "fileFormat": "array_record",
        "location": {"urls": [prepared.homepage]} if prepared.homepage else {},
        "name": prepared.name,
        "splits": splits,
        "supervisedKeys": {"tuple": {"items": keys}},
        "version": prepared.version,
    }
    if prepared.config:
        info["configName"] = prepared.config
    features = {
        "pythonClassName": f"{_FEATURES}.features_dict.FeaturesDict",
        "featuresDict": {"features": {k: dict(v.about) for k, v in prepared.features.items()}},
    }
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n", "utf-8")
    (folder / "features.json").write_text(json.dumps(features, indent=2) + "\n", "utf-8")
    for name, feature in prepared.features.items():
        if feature.names:
            lines = "".join(f"{line}\n" for line in feature.names)
            (folder / f"{name}.labels.txt").write_text(lines, "utf-8")


def _with_bar(examples: Iterator[Example], what: str) -> Iterator[Example]:
    console = Console(stderr=True)
    hidden = not console.is_terminal
    yield from track(examples, what, console=console, transient=True, disable=hidden)
