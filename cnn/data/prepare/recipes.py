"""How official archives become data sets: names, versions, keys and orders are those of TFDS."""

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnn.config.errors import UserError
from cnn.config.registry import Registry
from cnn.data.files import shown
from cnn.data.prepare.archives import Archive
from cnn.data.prepare.writer import Example, PreparedSet, image, label, png, sound, text

Files = Mapping[str, Path]


@dataclass(frozen=True)
class Recipe:
    """One entry of the registry.

    Attributes:
      about: one line.
      archives: of the official distribution.
      sets: (files by name) -> what is to be written.
    """

    about: str
    archives: tuple[Archive, ...]
    sets: Callable[[Files], list[PreparedSet]]


RECIPES: Registry[Recipe] = Registry("data set")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Tells what libraries raise over a damaged file as our own sentence."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, IndexError, tarfile.TarError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{shown(path)}: is damaged or of another form: {error}") from error


# MNIST and Fashion-MNIST: http://yann.lecun.com/exdb/mnist describes the IDX format.

_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_DIGITS = tuple("0123456789")
_IDX = {"train": "train", "test": "t10k"}


def _idx(path: Path) -> np.ndarray:
    """Returns the uint8 array of a gzipped IDX file."""
    with _readable(path), gzip.open(path) as file:
        content = file.read()
        if content[:3] != b"\0\0\x08":
            raise ValueError("no IDX file of bytes")
        shape = np.frombuffer(content, ">u4", content[3], 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def _mnist_examples(files: Files, split: str) -> Iterator[Example]:
    images = _idx(files[f"{_IDX[split]}-images-idx3-ubyte.gz"])
    labels = _idx(files[f"{_IDX[split]}-labels-idx1-ubyte.gz"])
    for key, (pixels, number) in enumerate(zip(images, labels, strict=True)):
        yield key, {"image": png(pixels[..., None]), "label": number}


def _mnist(name: str, names: tuple[str, ...], homepage: str, files: Files) -> list[PreparedSet]:
    splits = {split: partial(_mnist_examples, files, split) for split in _IDX}
    features = {"image": image(28, 28, 1), "label": label(names)}
    return [PreparedSet(name, "3.0.1", features, splits, homepage=homepage)]


def _mnist_archives(address: str, *sums: tuple[str, int, str]) -> tuple[Archive, ...]:
    return tuple(Archive(f"{address}{name}", size, sha) for name, size, sha in sums)


RECIPES.add(
    "mnist",
    Recipe(
        "handwritten digits, 28 x 28",
        _mnist_archives(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            (
                "train-images-idx3-ubyte.gz",
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                28881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        partial(_mnist, "mnist", _DIGITS, "http://yann.lecun.com/exdb/mnist/"),
    ),
)
RECIPES.add(
    "fashion_mnist",
    Recipe(
        "articles of clothing, 28 x 28",
        _mnist_archives(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            (
                "train-images-idx3-ubyte.gz",
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                29515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                4422102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                5148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        partial(
            _mnist, "fashion_mnist", _FASHION, "https://github.com/zalandoresearch/fashion-mnist"
        ),
    ),
)

# CIFAR: https://www.cs.toronto.edu/~kriz/cifar.html describes the binary version.

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
        with _readable(path), tarfile.open(path, "r:gz") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                if folder == self.folder and name in wanted:
                    found[name] = archive.extractfile(member).read()
            if missing := wanted - found.keys():
                raise ValueError(f"{self.folder}/{min(missing)} is not in it")
        return found

    def _examples(self, path: Path, split: str) -> Iterator[Example]:
        stored, key = self._members(path, set(self.files[split])), 0
        for name in self.files[split]:
            with _readable(path):
                rows = np.frombuffer(stored[name], np.uint8)
                rows = rows.reshape(-1, len(self.labels) + 3 * _SIDE**2)
            for row in rows:
                numbers = row[: len(self.labels)]
                pixels = row[len(self.labels) :].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
                values = dict(zip(self.labels, numbers, strict=True))
                yield key, {"id": f"{split}_{key:05}", "image": png(pixels), **values}
                key += 1


RECIPES.add(
    "cifar10",
    Recipe(
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
RECIPES.add(
    "cifar100",
    Recipe(
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
        with _readable(path):
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
RECIPES.add(
    "cifar10_1",
    Recipe(
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
    with _readable(path), tarfile.open(path) as archive:
        images, labels = (
            np.load(io.BytesIO(archive.extractfile(name).read()), allow_pickle=False)
            for name in (member, f"{Path(member).parent}/labels.npy")
        )
    count = len(labels) // _SEVERITIES
    part = slice((severity - 1) * count, severity * count)
    yield from _array_examples(images[part], labels[:count])


def _cifar10_c(files: Files) -> list[PreparedSet]:
    (path,) = files.values()
    with _readable(path), tarfile.open(path) as archive:
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


RECIPES.add(
    "cifar10_c",
    Recipe(
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

# SVHN (Netzer et al. 2011), cropped digits in MATLAB's format.


def _svhn_examples(path: Path, split: str) -> Iterator[Example]:
    from scipy.io import loadmat

    with _readable(path):
        stored = loadmat(str(path))
        images, labels = np.moveaxis(stored["X"], -1, 0), stored["y"].reshape(-1) % 10
    for key, (pixels, number) in enumerate(zip(images, labels, strict=True)):
        values = {"image": png(np.ascontiguousarray(pixels)), "label": number}
        yield key, {"id": f"{split}_{key:06}", **values}


def _svhn(files: Files) -> list[PreparedSet]:
    splits = {
        name.removesuffix("_32x32.mat"): path for name, path in sorted(files.items(), reverse=True)
    }
    features = {"id": text(), "image": image(_SIDE, _SIDE, 3), "label": label(_DIGITS)}
    return [
        PreparedSet(
            "svhn_cropped",
            "3.1.0",
            features,
            {split: partial(_svhn_examples, path, split) for split, path in splits.items()},
            homepage="http://ufldl.stanford.edu/housenumbers/",
        )
    ]


_SVHN = "http://ufldl.stanford.edu/housenumbers/"
RECIPES.add(
    "svhn",
    Recipe(
        "house numbers, 32 x 32, as svhn_cropped; extra_32x32.mat where it is given",
        (
            Archive(
                f"{_SVHN}train_32x32.mat",
                182040794,
                "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
            ),
            Archive(
                f"{_SVHN}test_32x32.mat",
                64275384,
                "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
            ),
            Archive(
                f"{_SVHN}extra_32x32.mat",
                1329278602,
                "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3",
                optional=True,
            ),
        ),
        _svhn,
    ),
)

# Speech Commands v0.02 (Warden 2018), twelve classes: ten words, silence, other words.

_WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
_SILENCE, _UNKNOWN, _NOISE = "_silence_", "_unknown_", "_background_noise_"
_RATE = 16000


def _waves(path: Path) -> Iterator[tuple[str, bytes]]:
    with _readable(path), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.isfile():
                yield member.name.removeprefix("./"), archive.extractfile(member).read()


def _speech_splits(path: Path) -> tuple[set[str], set[str]]:
    """Returns the names of the validation and of the test examples of the main archive."""
    lists = {"validation_list.txt": set(), "testing_list.txt": set()}
    for name, content in _waves(path):
        if name in lists:
            lists[name] = set(content.decode("ascii").split())
    if not all(lists.values()):
        raise UserError(f"{shown(path)}: holds no lists of validation and test examples")
    return lists["validation_list.txt"] | {f"{_NOISE}/running_tap.wav"}, lists["testing_list.txt"]


def _speech_examples(path: Path, chosen: Callable[[str], bool]) -> Iterator[Example]:
    import soundfile

    for name, content in _waves(path):
        if not name.endswith(".wav") or not chosen(name):
            continue
        word, file = name.split("/")[-2:]
        try:
            samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")
        except (soundfile.LibsndfileError, RuntimeError):
            continue  # as TFDS does: a few files of the archive cannot be decoded
        key = f"{word}_{file}"
        if word == _NOISE:
            for start in range(0, len(samples) - _RATE, _RATE // 2):
                part = samples[start : start + _RATE]
                yield f"{key}_{start}", {"audio": part, "label": _SILENCE}
        else:
            known = word if word in (*_WORDS, _SILENCE) else _UNKNOWN
            yield key, {"audio": samples, "label": known}


def _speech_commands(files: Files) -> list[PreparedSet]:
    main = files["speech_commands_v0.02.tar.gz"]
    validation, test = _speech_splits(main)
    held = validation | test
    splits = {
        "train": partial(_speech_examples, main, lambda name: name not in held),
        "validation": partial(_speech_examples, main, validation.__contains__),
        "test": partial(
            _speech_examples, files["speech_commands_test_set_v0.02.tar.gz"], lambda name: True
        ),
    }
    features = {"audio": sound(_RATE), "label": label((*_WORDS, _SILENCE, _UNKNOWN))}
    return [
        PreparedSet(
            "speech_commands",
            "0.0.3",
            features,
            splits,
            homepage="https://arxiv.org/abs/1804.03209",
            supervised=("audio", "label"),
        )
    ]


_SPEECH = "http://download.tensorflow.org/data/"
RECIPES.add(
    "speech_commands",
    Recipe(
        "spoken words of a second, twelve classes",
        (
            Archive(
                f"{_SPEECH}speech_commands_v0.02.tar.gz",
                2428923189,
                "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            ),
            Archive(
                f"{_SPEECH}speech_commands_test_set_v0.02.tar.gz",
                112563277,
                "cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
            ),
        ),
        _speech_commands,
    ),
)

# ImageNet 2012 (Russakovsky et al. 2015). JPEGs are kept as they are; TFDS converts the 23 that are
# CMYK or PNG, which decoding does here.


def _imagenet_train(path: Path) -> Iterator[Example]:
    with _readable(path), tarfile.open(path) as archive:
        for member in archive:
            inner = io.BytesIO(archive.extractfile(member).read())
            with tarfile.open(fileobj=inner) as images:
                for file in images:
                    content = images.extractfile(file).read()
                    values = {"image": content, "label": Path(member.name).stem}
                    yield file.name, {"file_name": file.name, **values}


def _imagenet_validation(path: Path) -> Iterator[Example]:
    from tensorflow_datasets.core.utils.resource_utils import tfds_path

    # Class of each image, in the order of the images' names.
    lines = Path(tfds_path("datasets/imagenet2012/validation_labels.txt")).read_text().split()
    with _readable(path), tarfile.open(path) as archive:
        names = sorted(archive.getnames())
        labels = dict(zip(names, lines, strict=True))
        for member in archive:
            content = archive.extractfile(member).read()
            yield (
                member.name,
                {"file_name": member.name, "image": content, "label": labels[member.name]},
            )


def _imagenet(files: Files) -> list[PreparedSet]:
    from tensorflow_datasets.core.utils.resource_utils import tfds_path

    names = tuple(Path(tfds_path("datasets/imagenet2012/labels.txt")).read_text().split())
    features = {
        "image": image(None, None, 3, encoding="jpeg"),
        "label": label(names),
        "file_name": text(),
    }
    splits: dict[str, Any] = {
        "train": partial(_imagenet_train, files["ILSVRC2012_img_train.tar"]),
        "validation": partial(_imagenet_validation, files["ILSVRC2012_img_val.tar"]),
    }
    homepage = "https://image-net.org/"
    return [PreparedSet("imagenet2012", "5.1.0", features, splits, homepage=homepage)]


_IMAGENET = "https://image-net.org/challenges/LSVRC/2012/"
RECIPES.add(
    "imagenet",
    Recipe(
        "ImageNet 2012 from its two tars, as imagenet2012, or from class folders",
        (
            Archive(
                f"{_IMAGENET}ILSVRC2012_img_train.tar",
                147897477120,
                "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
                manual=True,
            ),
            Archive(
                f"{_IMAGENET}ILSVRC2012_img_val.tar",
                6744924160,
                "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
                manual=True,
            ),
        ),
        _imagenet,
    ),
)
