"""Whether decoding keeps up with the training step, and what it holds: sound files and videos.

    python benchmarks/streams.py [--sound=../shared/spoken_digits] [--videos=256] [--out=FILE]

Spoken digits as configs/spoken_digits.py reads them, and MP4 files of 64 frames of 112x112 pixels,
made here (noise that drifts), 8 frames of which, 16 pixels wide, go through the network of
configs/moving_fashion.py. Each is measured as `python -m cnn.cost.bench` does, on the device and
streaming; then one thread of this process streams on, and its resident memory is read.
"""

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
from ml_collections import ConfigDict

from benchmarks import record
from benchmarks.input import photograph, resident
from cnn.config.entry import Parser, run_command
from cnn.config.load import load
from cnn.cost.bound import measure_bound
from cnn.data import make_feed, open_dataset
from cnn.training.mesh import batch_sharding, count_cores_as_devices, make_mesh, replicated
from cnn.training.start import use_compilation_cache

FRAMES, SIZE, DRIFT = 64, 112, 2


def write_videos(folder: Path, count: int) -> None:
    """Writes MP4 files of two classes, whose pictures drift to the left or to the right."""
    rng = np.random.default_rng(0)
    for i in range(count):
        path = folder / str(i % 2) / f"{i:04}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (SIZE, SIZE))
        image, way = photograph(SIZE, SIZE, rng), (-DRIFT, DRIFT)[i % 2]
        for frame in range(FRAMES):
            writer.write(np.roll(image, way * frame, axis=1))
        writer.release()


def sound(folder: str) -> ConfigDict:
    """Returns the config of the spoken digits."""
    return load("configs/spoken_digits.py", [f"data.path={folder}"]).config


def video(folder: str) -> ConfigDict:
    """Returns the config of a network of clips on a folder of videos."""
    fields = (
        "data.source=folder",
        f"data.path={folder}",
        "data.train_split=.",
        "data.test_split=.",
        "data.validation=0%",
        "data.channels=1",
        "data.video.frames=8",
        # Random starts can only be streamed.
        "data.video.random=False",
    )
    return load("configs/moving_fashion.py", fields).config


def memory(config: ConfigDict, examples: int) -> dict[str, float]:
    """Returns MiB of this process after a fifth of some streamed examples, and after all."""
    with config.unlocked():
        config.data.placement = "stream"
    dataset = open_dataset(config.data, splits=("train",))
    batch = config.train.batch_size
    mesh, steps = make_mesh(1, batch), math.ceil(examples / batch)
    crops = dataset.signal.draw_crops(config.augment, dataset.train.varying)
    shardings = batch_sharding(mesh), replicated(mesh)
    feed = make_feed(dataset.train, config.data, *shardings, batch, 0, crops)
    found = {}
    for step, _ in enumerate(feed.batches(0, steps), 1):
        if step == math.ceil(steps / 5):
            found["after_a_fifth"] = resident()
    return record.rounded({**found, "at_the_end": resident(), "examples": steps * batch})


def main(arguments: list[str]) -> None:
    """Measures both signals, prints the verdicts and writes the JSON file."""
    parser = Parser(prog="benchmarks/streams.py", description=__doc__.split("\n")[0])
    parser.add_argument("--sound", default="../shared/spoken_digits", help="folder of sounds")
    parser.add_argument("--videos", type=int, default=256, help="videos to make")
    parser.add_argument("--steps", type=int, default=5, help="steps of a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each kind")
    parser.add_argument("--examples", type=int, default=10_000, help="streamed to read the memory")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    use_compilation_cache()
    count_cores_as_devices()
    made = record.conditions(repeats=flags.repeats, steps=flags.steps, videos=flags.videos)
    result: dict[str, Any] = {"conditions": made, "signals": {}}
    with tempfile.TemporaryDirectory() as name:
        write_videos(Path(name), flags.videos)
        for kind, config in (("sounds", sound(flags.sound)), ("videos", video(name))):
            bench = measure_bound(config, flags.steps, flags.repeats)
            row = {key: bench[key] for key in ("placements", "chosen", "batch_size")}
            row["memory_mib"] = memory(config.copy_and_resolve_references(), flags.examples)
            result["signals"][kind] = row
            for placement, found in row["placements"].items():
                print(f"{kind}, {placement}: {found['verdict']}", flush=True)
            print(f"{kind}, memory, MiB: {row['memory_mib']}", flush=True)
    record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
