"""Makes tests/golden/augmentations.npz: what torchvision makes of images, operation by operation.

    python benchmarks/golden_augmentations.py    # needs torch, torchvision and Pillow

Of every operation of RandAugment, TrivialAugment and AutoAugment: a few levels, both signs; of
AutoAugment the sub-policies too; and evaluation's resize and crop.
"""

import io
import json
from pathlib import Path

import numpy as np
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode, autoaugment

FILE = Path(__file__).parents[1] / "tests" / "golden" / "augmentations.npz"
SIDES = 22, 30  # height, width
SPACES = {
    "rand": (autoaugment.RandAugment(), 31, (0, 9, 30)),
    "trivial": (autoaugment.TrivialAugmentWide(), 31, (3, 17, 30)),
    "auto": (autoaugment.AutoAugment(), 10, (4, 9)),
    "augmix": (autoaugment.AugMix(), 10, (0, 2)),
}


def picture(height: int, width: int) -> np.ndarray:
    """Returns a smooth image with edges and some noise."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:height, :width]
    waves = [127 + 110 * np.sin(x / (3 + c) + c) * np.cos(y / (4 - c)) for c in range(3)]
    image = np.stack(waves, axis=-1) + rng.normal(0, 6, (height, width, 3))
    image[height // 3 : height // 2, width // 4 : width // 2] = (250, 10, 90)
    return np.clip(image, 0, 255).astype(np.uint8)


def changed(image: Image.Image, name: str, magnitude: float) -> np.ndarray:
    """Returns what torchvision's operation makes of an image."""
    nearest = InterpolationMode.NEAREST
    made = autoaugment._apply_op(image, name, magnitude, interpolation=nearest, fill=None)
    return np.asarray(made)


def operations() -> dict[str, np.ndarray]:
    """Returns "space/operation/level/sign" -> pixels."""
    found = {"image": picture(*SIDES)}
    image = Image.fromarray(found["image"])
    for space, (policy, bins, levels) in SPACES.items():
        arguments = (bins, SIDES) if space != "trivial" else (bins,)
        for name, (magnitudes, signed) in policy._augmentation_space(*arguments).items():
            for level in levels if magnitudes.ndim else (0,):
                value = float(magnitudes[level]) if magnitudes.ndim else 0.0
                for sign in (0, 1) if signed else (0,):
                    key = f"{space}/{name}/{level}/{sign}"
                    found[key] = changed(image, name, -value if sign else value)
    return found


def evaluation() -> dict[str, np.ndarray]:
    """Returns images of odd sizes and what Resize and CenterCrop make of them."""
    found = {}
    for number, (height, width) in enumerate(((67, 90), (41, 38), (30, 120))):
        image = picture(height, width)
        found[f"eval/{number}/image"] = image
        for mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC):
            resize = torchvision.transforms.Resize(32, interpolation=mode)
            crop = torchvision.transforms.CenterCrop(28)
            found[f"eval/{number}/{mode.value}"] = np.asarray(crop(resize(Image.fromarray(image))))
    return found


def imagenet() -> dict[str, np.ndarray]:
    """Returns a JPEG file and every fourth pixel of Resize(256) and CenterCrop(224) of it."""
    file = io.BytesIO()
    Image.fromarray(picture(301, 433)).save(file, "JPEG", quality=75)
    resize, crop = torchvision.transforms.Resize(256), torchvision.transforms.CenterCrop(224)
    seen = np.asarray(crop(resize(Image.open(file))))[::4, ::4]
    return {"imagenet/jpeg": np.frombuffer(file.getvalue(), np.uint8), "imagenet/seen": seen}


def main() -> None:
    """Writes the file."""
    auto = SPACES["auto"][0]
    kinds = autoaugment.AutoAugmentPolicy
    policies = {kind.value: auto._get_policies(kind) for kind in kinds}
    versions = json.dumps({"torchvision": torchvision.__version__})
    texts = {"policies": json.dumps(policies), "versions": versions}
    np.savez_compressed(FILE, **operations(), **evaluation(), **imagenet(), **texts)


if __name__ == "__main__":
    main()
