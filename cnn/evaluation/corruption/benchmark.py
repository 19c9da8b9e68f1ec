"""Mean corruption error relative to a baseline, and the files of CIFAR-10-C."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn.config.errors import UserError
from cnn.evaluation.corruption.corruptions import CORRUPTIONS, SEVERITIES

# Error of AlexNet on ImageNet-C, mean over the five severities (Hendrycks & Dietterich, ICLR 2019,
# and their repository).
ALEXNET = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
BASELINES = {"AlexNet": ALEXNET}


def mean_error(errors: Mapping[str, Sequence[float]]) -> float:
    """Returns the unweighted mean over corruptions and severities, as usual for CIFAR-10-C.

    Args:
      errors: {corruption: error per severity}.
    """
    return float(np.mean([np.mean(values) for values in errors.values()]))


def mean_corruption_error(errors: Mapping[str, Sequence[float]], baseline: str) -> float:
    """Returns the mCE (Hendrycks & Dietterich, ICLR 2019), which is 1 for the baseline itself.

    The error summed over severities is divided by that of the baseline and averaged over the 15
    corruptions. AlexNet's errors are on ImageNet's 1000 classes, so they only apply to such
    networks.

    Args:
      errors: {corruption: error at each of the five severities}.
      baseline: a name in `BASELINES`.

    Raises:
      UserError: the baseline is unknown, or a corruption is missing.
    """
    if baseline not in BASELINES:
        raise UserError(f"baseline: unknown '{baseline}'; allowed: {', '.join(BASELINES)}")
    table = BASELINES[baseline]
    if missing := sorted(set(table) - set(errors)):
        raise UserError(f"baseline: mCE needs all 15 corruptions; {', '.join(missing)} is missing")
    return float(np.mean([np.mean(errors[name]) / table[name] for name in table]))


@dataclass(frozen=True)
class CifarC:
    """CIFAR-10-C or CIFAR-100-C as published: one .npy file per corruption, and labels.npy.

    Attributes:
      folder: contains the files.
      labels: `[N]`, the same for every severity.
    """

    folder: Path
    labels: np.ndarray

    def images(self, name: str, severity: int) -> np.ndarray:
        """Returns the images as a memory map, uint8 `[N, 32, 32, 3]`."""
        stored = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        count = len(self.labels)
        return stored[(severity - 1) * count : severity * count]


def open_cifar_c(folder: str, image_shape: tuple[int, ...]) -> CifarC:
    """Opens a folder of CIFAR-10-C.

    Args:
      folder: as unpacked from the authors' archive.
      image_shape: `[H, W, C]` of the network's input.

    Raises:
      UserError: files are missing or have the wrong shape.
    """
    path = Path(folder)
    missing = [n for n in (*CORRUPTIONS, "labels") if not (path / f"{n}.npy").is_file()]
    if missing:
        raise UserError(
            f"evaluation.cifar_c: {folder} is missing {', '.join(f'{n}.npy' for n in missing)}; "
            "give the folder of CIFAR-10-C's unpacked archive"
        )
    labels = np.load(path / "labels.npy")
    count = len(labels) // len(SEVERITIES)
    for name in CORRUPTIONS:
        shape = np.load(path / f"{name}.npy", mmap_mode="r").shape
        if shape != (len(SEVERITIES) * count, *image_shape):
            raise UserError(
                f"evaluation.cifar_c: {name}.npy has shape {shape}, but labels.npy and the network "
                f"need {(len(SEVERITIES) * count, *image_shape)}; use files of the same data"
            )
    return CifarC(path, labels[:count].astype(np.int32))
