"""Reading encoded images on one core: ours beside the loaders that others use, on the same files.

    python benchmarks/input.py [--torch-python=PATH] [--images=64] [--repeats=7] [--out=FILE]

PNG of 32x32 as they are, and JPEG of 500x375 by random resized crops (8 to 100 % of the area) to
224x224: OpenCV by area, as ours, and linearly, as most do, which aliases. The images are made here:
noise whose amplitude falls with its frequency, as that of photographs does. Every loader runs in
one thread, in turns; torchvision's in a process of its own. The memory of a process that streams
the JPEG files is read on the way.
"""

import math
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from benchmarks import record
from benchmarks.peer import Peer
from cnn.config.entry import Parser, run_command
from cnn.cost.timing import turns
from cnn.data import make_feed, open_dataset
from cnn.data.crop import decode_crops
from cnn.data.split import Crop
from cnn.training.mesh import batch_sharding, make_mesh, replicated
from configs import base

AREA = (0.08, 1.0)
SIZE = 224
KINDS = {"png 32x32": (32, 32), "jpeg 500x375": (375, 500)}


def photograph(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Returns uint8 `[H, W, 3]`: noise of amplitude 1/frequency, mostly the same in all colours."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1
    shared, channels = rng.normal(size=(height, width)), []
    for _ in range(3):
        noise = np.fft.fft2(0.8 * shared + 0.6 * rng.normal(size=(height, width)))
        channel = np.fft.ifft2(noise / frequency).real
        channels.append((channel - channel.mean()) / channel.std())
    return np.clip(128 + 55 * np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


def write_images(folder: Path, count: int) -> None:
    """Writes folders of two classes of both kinds."""
    rng = np.random.default_rng(0)
    for kind, shape in KINDS.items():
        form = kind.split()[0]
        for i in range(count):
            path = folder / form / "train" / str(i % 2) / f"{i:04}.{form}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photograph(*shape, rng)).save(path, quality=90)


def config_of(folder: Path, form: str) -> ConfigDict:
    """Returns the data section of a config that reads one kind."""
    data = base.get_config().data
    data.source, data.path, data.test_split = "folder", str(folder / form), "train"
    data.mean = data.std = (0.5,) * 3
    data.workers = 1
    data.image_size = SIZE if form == "jpeg" else 0
    data.placement = "stream"
    return data


def ours(folder: Path, form: str) -> Callable[[], Any]:
    """Returns a function that reads all images of a kind as training does."""
    split = open_dataset(config_of(folder, form), splits=("train",)).train
    rows = np.arange(len(split))
    crops = boxes(len(split)) if form == "jpeg" else None
    return lambda: split.read(rows, crops)


def boxes(count: int) -> list[Crop]:
    """Returns the boxes of all loaders but torchvision, which draws its own."""
    return decode_crops(0, 0, count, AREA)


def opencv(paths: list[Path], form: str, method: int) -> Callable[[], Any]:
    """Returns the same as people write it with OpenCV."""

    def read(path: Path, crop: Crop) -> np.ndarray:
        image = cv2.imread(str(path))
        if form == "jpeg":
            top, left, height, width = crop(*image.shape[:2])
            part = image[top : top + height, left : left + width]
            image = cv2.resize(part, (SIZE, SIZE), interpolation=method)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    return _each(paths, read)


def pillow(paths: list[Path], form: str) -> Callable[[], Any]:
    """Returns the same by PIL: bilinear with antialiasing."""

    def read(path: Path, crop: Crop) -> np.ndarray:
        image = Image.open(path).convert("RGB")
        return np.asarray(_cut(image, crop) if form == "jpeg" else image)

    return _each(paths, read)


def tfds(paths: list[Path], form: str) -> Callable[[], Any]:
    """Returns the same by the decoder of tfds' Image feature, and PIL for the crop."""
    from tensorflow_datasets.core.features import Image as Feature

    feature = Feature(shape=(None, None, 3), encoding_format=form)

    def read(path: Path, crop: Crop) -> np.ndarray:
        image = feature.decode_example_np(path.read_bytes())
        return np.asarray(_cut(Image.fromarray(image), crop)) if form == "jpeg" else image

    return _each(paths, read)


def _cut(image: Image.Image, crop: Crop) -> Image.Image:
    top, left, height, width = crop(image.height, image.width)
    box = (left, top, left + width, top + height)
    return image.resize((SIZE, SIZE), Image.BILINEAR, box=box)


def _each(paths: list[Path], read: Callable[..., np.ndarray]) -> Callable[[], Any]:
    items = list(zip(paths, boxes(len(paths)), strict=True))
    return lambda: np.stack([read(*item) for item in items])


def measure(folder: Path, form: str, repeats: int, torch_python: str) -> dict[str, Any]:
    """Returns images a second of every loader, and how ours compares with the fastest."""
    paths = sorted((folder / form / "train").rglob(f"*.{form}"))
    loaders = {
        "ours": ours(folder, form),
        "opencv": opencv(paths, form, cv2.INTER_LINEAR),
        "pillow": pillow(paths, form),
        "tfds": tfds(paths, form),
    }
    if form == "jpeg":
        loaders["opencv_by_area"] = opencv(paths, form, cv2.INTER_AREA)
    peer = None
    if torch_python:
        script = Path(__file__).parent / "torch_input.py"
        command = [torch_python, str(script), str(folder / form / "train"), form]
        peer = Peer(command, {"OMP_NUM_THREADS": "1"})
        peer.says()
        loaders["torchvision"] = peer.step
    try:
        seconds = turns(loaders, repeats)
    finally:
        if peer:
            peer.stop()
    median = {name: statistics.median(each) for name, each in seconds.items()}
    speeds = {f"{name}_images_per_second": len(paths) / s for name, s in median.items()}
    peers = {name: s for name, s in median.items() if name != "ours"}
    ratios = {f"{name}_over_ours": s / median["ours"] for name, s in peers.items()}
    return record.rounded(speeds | ratios) | {"best_peer": min(peers, key=peers.get)}


def memory(folder: Path, batch: int = 16, images: int = 1500) -> dict[str, float]:
    """Returns MiB of this process after a fifth of some images, and after all."""
    split = open_dataset(config_of(folder, "jpeg"), splits=("train",)).train
    mesh = make_mesh(1, batch)
    data = config_of(folder, "jpeg")
    steps = math.ceil(images / batch)
    shardings = batch_sharding(mesh), replicated(mesh)
    feed = make_feed(split, data, *shardings, batch, 0, partial(decode_crops, area=AREA))
    found = {}
    for step, _ in enumerate(feed.batches(0, steps), 1):
        if step == steps // 5:
            found["after_a_fifth"] = resident()
    return record.rounded({**found, "at_the_end": resident(), "images": steps * batch})


def resident() -> float:
    """Returns the MiB that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(arguments: list[str]) -> None:
    """Times the loaders, prints a table and writes the JSON file."""
    parser = Parser(prog="benchmarks/input.py", description=__doc__.split("\n")[0])
    parser.add_argument("--torch-python", default="", help="a Python with torch and torchvision")
    parser.add_argument("--images", type=int, default=64, help="files of each kind")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each loader")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    made = record.conditions(images=flags.images, repeats=flags.repeats)
    if not flags.torch_python:
        made["skipped"] = "torchvision: no --torch-python was given"
    result: dict[str, Any] = {"conditions": made, "kinds": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder, flags.images)
        for kind in KINDS:
            form = kind.split()[0]
            row = measure(folder, form, flags.repeats, flags.torch_python)
            result["kinds"][kind] = row
            print(kind, *(f"{k}={v}" for k, v in row.items()), sep="\n  ", flush=True)
        result["memory_mib"] = memory(folder)
    print("memory, MiB", *(f"{k}={v}" for k, v in result["memory_mib"].items()), sep="\n  ")
    print(made.get("skipped", ""))
    record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
