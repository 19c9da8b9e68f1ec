"""MNIST and Fashion-MNIST; http://yann.lecun.com/exdb/mnist describes the IDX format."""

import gzip
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from cnn.data.prepare.archives import Archive
from cnn.data.prepare.builders.builder import BUILDERS, Builder, Files, readable
from cnn.data.prepare.writer import Example, PreparedSet, image, label, png

_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_DIGITS = tuple("0123456789")
_IDX = {"train": "train", "test": "t10k"}


def _idx(path: Path) -> np.ndarray:
    """Returns the uint8 array of a gzipped IDX file."""
    with readable(path), gzip.open(path) as file:
        content = file.read()
        if content[:3] != b"\0\0\x08":
            raise ValueError("not an IDX file of bytes")
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


BUILDERS.add(
    "mnist",
    Builder(
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
BUILDERS.add(
    "fashion_mnist",
    Builder(
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
