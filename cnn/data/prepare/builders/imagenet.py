"""ImageNet 2012 (Russakovsky et al. 2015).

JPEGs are stored unchanged. TFDS converts the 23 that are CMYK or PNG; here they are converted
when they are decoded.
"""

import io
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cnn.data.prepare.archives import Archive
from cnn.data.prepare.builders.builder import BUILDERS, Builder, Files, readable
from cnn.data.prepare.writer import Example, PreparedSet, image, label, text


def _imagenet_train(path: Path) -> Iterator[Example]:
    with readable(path), tarfile.open(path) as archive:
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
    with readable(path), tarfile.open(path) as archive:
        names = sorted(archive.getnames())
        labels = dict(zip(names, lines, strict=True))
        for member in archive:
            content = archive.extractfile(member).read()
            yield (
                member.name,
                {"file_name": member.name, "image": content, "label": labels[member.name]},
            )


def imagenet_classes() -> tuple[str, ...]:
    """Returns the WNIDs of the 1,000 classes of ImageNet 2012, in their order."""
    from tensorflow_datasets.core.utils.resource_utils import tfds_path

    return tuple(Path(tfds_path("datasets/imagenet2012/labels.txt")).read_text().split())


def _imagenet(files: Files) -> list[PreparedSet]:
    names = imagenet_classes()
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
BUILDERS.add(
    "imagenet",
    Builder(
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
