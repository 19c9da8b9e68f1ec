"""SVHN (Netzer et al. 2011), cropped digits in MATLAB's format."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from cnn.data.prepare.archives import Archive
from cnn.data.prepare.builders.builder import BUILDERS, Builder, Files, readable
from cnn.data.prepare.writer import Example, PreparedSet, image, label, png, text


def _svhn_examples(path: Path, split: str) -> Iterator[Example]:
    from scipy.io import loadmat

    with readable(path):
        stored = loadmat(str(path))
        images, labels = np.moveaxis(stored["X"], -1, 0), stored["y"].reshape(-1) % 10
    for key, (pixels, number) in enumerate(zip(images, labels, strict=True)):
        values = {"image": png(np.ascontiguousarray(pixels)), "label": number}
        yield key, {"id": f"{split}_{key:06}", **values}


def _svhn(files: Files) -> list[PreparedSet]:
    splits = {
        name.removesuffix("_32x32.mat"): path for name, path in sorted(files.items(), reverse=True)
    }
    features = {"id": text(), "image": image(32, 32, 3), "label": label(tuple("0123456789"))}
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
BUILDERS.add(
    "svhn",
    Builder(
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
