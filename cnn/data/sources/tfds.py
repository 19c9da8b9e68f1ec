"""Prepared TFDS data sets, read through `tfds.data_source`-style random access, no TensorFlow."""

import importlib.util
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from ml_collections import ConfigDict

from cnn.config.errors import UserError, did_you_mean
from cnn.config.python_file import explain
from cnn.data.encoded import EncodedSplit, Fetch
from cnn.data.files import expanded
from cnn.data.signals import SIGNALS, Codec
from cnn.data.sources.file_index import pool_of
from cnn.data.sources.source import COMMON, DECODING, SOURCES, Source
from cnn.data.split import fingerprint_of

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_REPOSITORY = Path(__file__).resolve().parents[3]


class TfdsReader:
    """A prepared data set of which splits can be opened."""

    def __init__(self, folder: Path, data: ConfigDict):
        self._folder, self._workers = folder, data.workers
        self._builder = _builder(folder)
        self._codec = SIGNALS[data.signal].codec(data)
        self._keys = _keys(self._builder.info, folder, data.signal, self._codec)
        features = self._builder.info.features
        self._class_names = tuple(map(str, features[self._keys[1]].names))
        try:
            stored = self._codec.stored_shape(features[self._keys[0]])
        except UserError as error:
            raise UserError(f"data.name: {folder}: {error}") from error
        self._form = self._codec.form(stored, str(folder))

    @property
    def names(self) -> tuple[str, ...]:
        """The splits there are."""
        return tuple(self._builder.info.splits)

    def check(self, expression: str, field: str) -> None:
        """Raises `UserError` unless there is such a split with at least one example."""
        splits = self._builder.info.splits
        try:
            count = splits[expression].num_examples
        except (ValueError, KeyError, AssertionError, NotImplementedError) as error:
            base = re.split(r"[\[+]", expression)[0].strip()
            hint = did_you_mean(base, splits) if base not in splits else str(error)
            raise UserError(
                f"{field}: no split '{expression}' in {self._folder}: {' '.join(hint.split())}"
            ) from None
        if count <= 0:
            raise UserError(f"{field}: '{expression}' of {self._folder} selects no examples")

    def split(self, expression: str, field: str) -> EncodedSplit:
        """Opens one split."""
        from tensorflow_datasets import decode

        self.check(expression, field)
        try:
            records = self._builder.as_data_source(
                expression, deserialize_method=decode.DeserializeMethod.RAW_BYTES
            )
        except Exception as error:
            raise UserError(
                f"{field}: '{expression}' of {self._folder} cannot be opened: "
                f"{explain(error)}; restore the files of the data set, or prepare it again"
            ) from error
        self._check_lengths(expression)
        name = f"{self._builder.info.name} {expression}"
        return EncodedSplit(
            name=name,
            class_names=self._class_names,
            num_examples=len(records),
            form=self._form,
            fetch=_fetch(records, self._keys, self._codec, name),
            fingerprint=self._fingerprint(expression),
        )

    def _check_lengths(self, expression: str) -> None:
        """Raises `UserError` if a file holds more records than would ever be read."""
        shards = self._builder.info.splits[expression].file_instructions
        with pool_of(self._workers) as pool:
            counts = pool.map(_count, [shard.filename for shard in shards])
            for shard, count in zip(shards, counts, strict=True):
                if count > shard.examples_in_shard:
                    raise UserError(
                        f"{shard.filename}: holds {count:,} examples, but dataset_info.json beside "
                        f"it says {shard.examples_in_shard:,}; restore the files of the data set, "
                        "or prepare it again"
                    )

    def _fingerprint(self, expression: str) -> str:
        """Returns a hash of the set's name, version and sizes, and of which part is meant."""
        info = self._builder.info
        sizes = {
            name: (split.shard_lengths, split.num_bytes) for name, split in info.splits.items()
        }
        return fingerprint_of(info.name, info.version, sorted(sizes.items()), expression)


def _count(file: str) -> int:
    """Returns the number of records of an array_record file; 0 if it is missing or cut."""
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(file, options="readahead_buffer_size:0")
    count = reader.num_records()
    # What is wrong with a file is said when it is read.
    with suppress(RuntimeError):
        reader.close()
    return count


def _fetch(records: Any, keys: tuple[str, str], codec: Codec, name: str) -> Fetch:
    # Not tfds' own parser, which takes ten times as long and holds the interpreter lock.
    from tensorflow_datasets.proto import tf_example_pb2

    input_key, label_key = keys

    def read(indices: Sequence[int]) -> Sequence[bytes]:
        try:
            return records.__getitems__(indices)
        except Exception as error:
            # Files are opened late, and a missing or damaged one raises a RuntimeError of C++.
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"examples {min(indices)} to {max(indices)} of {name} cannot be read: {reason}; "
                "restore the files of the data set, or prepare it again"
            ) from error

    def fetch(indices: Sequence[int]) -> list[tuple[Any, int, str]]:
        examples = []
        for index, record in zip(indices, read(indices), strict=True):
            features = tf_example_pb2.Example.FromString(record).features.feature
            payload = codec.from_record(features[input_key])
            label = features[label_key].int64_list.value[0]
            examples.append((payload, label, f"example {index} of {name}"))
        return examples

    return fetch


def _builder(folder: Path) -> Any:
    """Opens a prepared folder, with the output of tfds suppressed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_datasets

        try:
            with _without_tensorflow():
                return tensorflow_datasets.builder_from_directory(folder)
        except Exception as error:
            first_line = str(error).strip().partition("\n")[0]
            raise UserError(f"{folder}: not a data set that tfds can read: {first_line}") from error


@contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Lets tfds open `Audio` and `Video`, which use TensorFlow only to name a NumPy dtype."""
    from tensorflow_datasets.core.features import audio_feature, video_feature

    if importlib.util.find_spec("tensorflow"):
        yield
        return
    named = SimpleNamespace(dtypes=SimpleNamespace(as_dtype=np.dtype))
    with (
        mock.patch.object(video_feature, "tf", named),
        mock.patch.object(audio_feature, "tf", named),
    ):
        yield


def _keys(info: Any, folder: Path, signal: str, codec: Codec) -> tuple[str, str]:
    """Returns the names of the input and label features, or says why there are none."""
    from tensorflow_datasets import features as kinds

    supervised = info.supervised_keys
    plain = isinstance(supervised, tuple) and all(isinstance(k, str) for k in supervised)
    own, label = supervised[:2] if plain else (codec.feature.lower(), "label")
    features = info.features
    found = isinstance(features, kinds.FeaturesDict) and own in features and label in features
    if (
        not found
        or not isinstance(features[own], getattr(kinds, codec.feature))
        or not isinstance(features[label], kinds.ClassLabel)
    ):
        raise UserError(
            f"data.name: {folder} is not a data set for {signal} classification; that needs "
            f"features of types {codec.feature} and ClassLabel, and it has {list(features)}"
        )
    return own, label


def data_folder(data: ConfigDict) -> Path:
    """Returns the folder of prepared data sets that the config means.

    A relative `data_dir` refers to the current directory, or, if the data set is not there, to
    the directory of this package, so that the embedded one is found from anywhere.
    """
    if not data.data_dir:
        default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
        return expanded(default, "data.data_dir")
    folder = expanded(data.data_dir, "data.data_dir")
    if not (folder / data.name).exists() and (_REPOSITORY / folder / data.name).exists():
        return _REPOSITORY / folder
    return folder


def open_tfds(data: ConfigDict) -> TfdsReader:
    """Opens a prepared data set; nothing is ever downloaded.

    Raises:
      UserError: it is not there in that version, or is not for image classification.
    """
    root = data_folder(data)
    folder = root / data.name
    versions = [p.parent.name for p in folder.glob("*/dataset_info.json")] if data.name else []
    versions = sorted(
        filter(_VERSION.fullmatch, versions), key=lambda v: tuple(map(int, v.split(".")))
    )
    if not versions:
        raise UserError(
            f"data.name: no prepared data set '{data.name}' in {root.resolve()}; set "
            "data.data_dir to the folder that holds it, or prepare it with `python -m cnn.data "
            f"prepare {data.name} --to={root}` (--help lists the names), or with TensorFlow and "
            f"`tfds build {data.name} --data_dir={root} --file_format=array_record`"
        )
    if data.version and data.version not in versions:
        raise UserError(
            f"data.version: no version '{data.version}' of {data.name} in {folder.resolve()}; "
            f"it contains {', '.join(versions)}"
        )
    return TfdsReader(folder / (data.version or versions[-1]), data)


SOURCES.add(
    "tfds",
    Source(
        open=open_tfds,
        reads=COMMON | DECODING | {"name", "version", "data_dir"},
        location="data_dir",
    ),
)
