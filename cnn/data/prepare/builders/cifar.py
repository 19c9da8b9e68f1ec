"""CIFAR-10 and CIFAR-100 in their binary version, CIFAR-10.1 and CIFAR-10-C."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from cnn.data.prepare.archives import Archive
from cnn.data.prepare.builders.builder import BUILDERS, Builder, Files, readable
from cnn.data.prepare.writer import Example, PreparedSet, image, label, png, text

_SIDE = 32
_CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"


@dataclass(frozen=True)
class _Cifar:
    """One of the two: its archive's folder, files of each split, and files of class names."""

    name: str
    folder: str
    files: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, str]  # feature -> file of its names, in the order of a record's bytes

    def sets(self, files: Files) -> list[PreparedSet]:
        """Reads the class names; the images follow when they are written."""
        (path,) = files.values()
        stored = self._members(path, set(self.labels.values()))
        names = {
            feature: tuple(line for line in stored[file].decode().split("\n") if line)
            for feature, file in self.labels.items()
        }
        features = {"id": text(), "image": image(_SIDE, _SIDE, 3)}
        features |= {feature: label(lines) for feature, lines in names.items()}
        splits = {split: partial(self._examples, path, split) for split in self.files}
        return [PreparedSet(self.name, "3.0.2", features, splits, homepage=_CIFAR_HOME)]

    def _members(self, path: Path, wanted: set[str]) -> dict[str, bytes]:
        found = {}
        with readable(path), tarfile.open(path, "r:gz") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                if folder == self.folder and name in wanted:
                    found[name] = archive.extractfile(member).read()
            if missing := wanted - found.keys():
                raise ValueError(f"{self.folder}/{min(missing)} is missing")
        return found

    def _examples(self, path: Path, split: str) -> Iterator[Example]:
        stored, key = self._members(path, set(self.files[split])), 0
        for name in self.files[split]:
            with readable(path):
                rows = np.frombuffer(stored[name], np.uint8)
                rows = rows.reshape(-1, len(self.labels) + 3 * _SIDE**2)
            for row in rows:
                numbers = row[: len(self.labels)]
                pixels = row[len(self.labels) :].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
                values = dict(zip(self.labels, numbers, strict=True))
                yield key, {"id": f"{split}_{key:05}", "image": png(pixels), **values}
                key += 1


BUILDERS.add(
    "cifar10",
    Builder(
        "photographs of 10 classes, 32 x 32",
        (
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                170052171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
        _Cifar(
            "cifar10",
            "cifar-10-batches-bin",
            {
                "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
                "test": ("test_batch.bin",),
            },
            {"label": "batches.meta.txt"},
        ).sets,
    ),
)
BUILDERS.add(
    "cifar100",
    Builder(
        "photographs of 100 classes, 32 x 32",
        (
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                168513733,
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        ),
        _Cifar(
            "cifar100",
            "cifar-100-binary",
            {"train": ("train.bin",), "test": ("test.bin",)},
            {"coarse_label": "coarse_label_names.txt", "label": "fine_label_names.txt"},
        ).sets,
    ),
)

# CIFAR-10.1 (Recht et al. 2018) and CIFAR-10-C (Hendrycks & Dietterich 2019): arrays.

_CIFAR_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_CIFAR_FEATURES = {"image": image(_SIDE, _SIDE, 3), "label": label(_CIFAR_NAMES)}


def _array_examples(images: np.ndarray, labels: np.ndarray) -> Iterator[Example]:
    for key, (pixels, number) in enumerate(zip(images, labels, strict=True)):
        yield key, {"image": png(np.ascontiguousarray(pixels)), "label": number}


def _cifar10_1_examples(files: Files, config: str) -> Iterator[Example]:
    arrays = []
    for kind in ("data", "labels"):
        path = files[f"cifar10.1_{config}_{kind}.npy"]
        with readable(path):
            arrays.append(np.load(path, allow_pickle=False))
    yield from _array_examples(*arrays)


def _cifar10_1(files: Files) -> list[PreparedSet]:
    return [
        PreparedSet(
            "cifar10_1",
            "1.1.0",
            _CIFAR_FEATURES,
            {"test": partial(_cifar10_1_examples, files, config)},
            config=config,
            homepage="https://github.com/modestyachts/CIFAR-10.1",
        )
        for config in ("v4", "v6")
    ]


_CIFAR10_1 = "https://github.com/modestyachts/CIFAR-10.1/blob/master/datasets/cifar10.1_"
BUILDERS.add(
    "cifar10_1",
    Builder(
        "new test images for CIFAR-10, as cifar10_1/v4 and cifar10_1/v6",
        tuple(
            Archive(f"{_CIFAR10_1}{name}.npy?raw=true", size, sha)
            for name, size, sha in (
                (
                    "v4_data",
                    6208640,
                    "5aaedc268df8f4cffca2ac0cf9e608ae1897a8cddb630c7a850a2ea8f6558e75",
                ),
                (
                    "v4_labels",
                    8212,
                    "1f9544300ded199539b6662364ce7fe6c2e1ea9f87408f06db4b1a6184cffb18",
                ),
                (
                    "v6_data",
                    6144128,
                    "2997188e5816f5bd545dc77771b6227828c28146049fcecf3fa10775474cacc6",
                ),
                (
                    "v6_labels",
                    8128,
                    "ae40beda001693674edc94d925ee8268cfe68905f8f9aff800c8dcdfcd6c9448",
                ),
            )
        ),
        _cifar10_1,
    ),
)

# TFDS' names where they are not those of the files.
_RENAMED = {"glass_blur": "frosted_glass_blur", "elastic_transform": "elastic"}
_SEVERITIES = 5


def _cifar10_c_examples(path: Path, member: str, severity: int) -> Iterator[Example]:
    with readable(path), tarfile.open(path) as archive:
        images, labels = (
            np.load(io.BytesIO(archive.extractfile(name).read()), allow_pickle=False)
            for name in (member, f"{Path(member).parent}/labels.npy")
        )
    count = len(labels) // _SEVERITIES
    part = slice((severity - 1) * count, severity * count)
    yield from _array_examples(images[part], labels[:count])


def _cifar10_c(files: Files) -> list[PreparedSet]:
    (path,) = files.values()
    with readable(path), tarfile.open(path) as archive:
        members = sorted(name for name in archive.getnames() if name.endswith(".npy"))
    found = []
    for member in members:
        name = Path(member).stem
        for severity in range(1, _SEVERITIES + 1) if name != "labels" else ():
            examples = partial(_cifar10_c_examples, path, member, severity)
            found.append(
                PreparedSet(
                    "cifar10_corrupted",
                    "1.0.0",
                    _CIFAR_FEATURES,
                    {"test": examples},
                    config=f"{_RENAMED.get(name, name)}_{severity}",
                    homepage="https://github.com/hendrycks/robustness",
                )
            )
    return found


BUILDERS.add(
    "cifar10_c",
    Builder(
        "CIFAR-10's test images corrupted, as cifar10_corrupted/brightness_1 and so on",
        (
            Archive(
                "https://zenodo.org/record/2535967/files/CIFAR-10-C.tar",
                2918471680,
                "c72763e101c723b7c507b96205f7e938912a5d587376173b825850cf3cb876a7",
            ),
        ),
        _cifar10_c,
    ),
)
