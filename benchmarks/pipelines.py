"""From JPEG files to batches: ours in threads beside torchvision's DataLoader in processes.

    python benchmarks/pipelines.py --torch-python=PATH [--images=512] [--repeats=7] [--out=FILE]

The same files of 500x375 pixels, the same number of workers (one per core), random resized crops
to 224x224, shuffled, uint8 batches of 64: ours on the device, the DataLoader's collated in its
process. Each takes all files once in its turn. OpenCV shrinks by area here, torchvision bilinearly
with antialiasing.
"""

import itertools
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax

from benchmarks import record
from benchmarks.input import AREA, config_of, write_images
from benchmarks.peer import Peer
from cnn.config.entry import Parser, run_command
from cnn.cost.timing import turns
from cnn.data import make_feed, open_dataset
from cnn.data.crop import decode_crops
from cnn.training.mesh import batch_sharding, make_mesh, replicated

BATCH = 64


def ours(folder: Path, workers: int, batch: int = BATCH) -> Callable[[], int]:
    """Returns a function that puts each image on the device once and returns how many there are."""
    data = config_of(folder, "jpeg")
    data.workers = workers
    split = open_dataset(data, splits=("train",)).train
    mesh = make_mesh(1, batch)
    crops = partial(decode_crops, area=AREA)
    feed = make_feed(split, data, batch_sharding(mesh), replicated(mesh), batch, 0, crops)
    steps, epochs = len(split) // batch, itertools.count()

    def epoch() -> int:
        start = next(epochs) * steps
        batches = feed.batches(start, start + steps)
        return sum(len(jax.block_until_ready(placed["input"])) for placed in batches)

    return epoch


def measure(folder: Path, workers: int, repeats: int, torch_python: str) -> dict[str, Any]:
    """Returns images per second of both, and the ratio of their medians."""
    train = folder / "jpeg" / "train"
    script = Path(__file__).parent / "torch_input.py"
    command = [torch_python, str(script), str(train), "jpeg", str(workers), str(BATCH)]
    peer = Peer(command, {"OMP_NUM_THREADS": "1"})
    made = peer.says().strip()
    epoch = ours(folder, workers)
    images = epoch()
    try:
        seconds = turns({"ours": epoch, "data_loader": peer.step}, repeats)
    finally:
        peer.stop()
    median = {name: statistics.median(each) for name, each in seconds.items()}
    speeds = {f"{name}_images_per_second": images / s for name, s in median.items()}
    ratio = {"data_loader_over_ours": median["data_loader"] / median["ours"]}
    return record.rounded(speeds | ratio) | {"workers": workers, "peer": made}


def main(arguments: list[str]) -> None:
    """Times both, prints and writes the JSON file."""
    parser = Parser(prog="benchmarks/pipelines.py", description=__doc__.split("\n")[0])
    parser.add_argument("--torch-python", required=True, help="a Python with torch and torchvision")
    parser.add_argument("--images", type=int, default=512, help="files, a multiple of 64")
    parser.add_argument("--repeats", type=int, default=7, help="turns of each")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    made = record.conditions(images=flags.images, repeats=flags.repeats, batch=BATCH)
    with tempfile.TemporaryDirectory() as name:
        write_images(Path(name), flags.images)
        workers = len(os.sched_getaffinity(0))
        found = measure(Path(name), workers, flags.repeats, flags.torch_python)
    print(*(f"{k}={v}" for k, v in found.items()), sep="\n")
    record.write(flags.out, {"conditions": made, "pipelines": found})


if __name__ == "__main__":
    run_command(main)
