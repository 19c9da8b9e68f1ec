"""Every way out of a run closes what it opened, as a user meets it: from the command line."""

import json
import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest

from cnn.data import batch_indices, open_dataset
from cnn.training.checkpoint import Checkpoints
from tests.conftest import REPOSITORY, tiny_config

FIELDS = (
    "data.source=folder",
    "data.validation=0%",
    "data.placement=stream",
    "data.test_split=train",
    "data.mean=0.5",
    "data.std=0.5",
    "data.prefetch=1",
    "model.name=plain",
    "model.features=4,4",
    "train.batch_size=8",
    "train.duration=4 steps",
    "checkpoint.every=1 steps",
    "checkpoint.keep=4",
    "mesh.devices=1",
)
BROKEN_STEP = 3  # whose batch holds the broken file
SAVED = [1, 2]


def broken_png():
    """Returns a PNG of 8x8 grey pixels whose checksums are right and whose pixels are no stream."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", b"no deflated stream"), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of two classes, and the one of its images that is broken."""
    root = tmp_path_factory.mktemp("images")
    files = [root / "train" / name / f"{i:02}.png" for name in "ab" for i in range(16)]
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((8, 8), 8 * i, np.uint8))
    train = open_dataset(tiny_config(*FIELDS, f"data.path={root}").data).train
    index = batch_indices(0, BROKEN_STEP - 1, 8, len(files))[0]
    broken = root / "train" / train.names[index]
    broken.write_bytes(broken_png())
    return root, broken


def as_users_run(*arguments):
    """Runs Python without what the tests set for themselves."""
    own = ("JAX_PLATFORMS", "XLA_FLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def saved_steps(folder):
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    steps = checkpoints.steps()
    checkpoints.close()
    return steps


def test_an_error_in_the_data_ends_a_run_in_one_sentence(images, tmp_path):
    root, broken = images
    fields = [f"--config.{text}" for text in (*FIELDS, f"data.path={root}")]
    done = as_users_run(
        "train.py", "--config=configs/base.py", f"--workdir={tmp_path}/run", *fields
    )
    assert done.returncode == 2, done.stderr
    # Before it libpng may have its say.
    sentence = done.stderr.splitlines()[-1]
    assert sentence == f"error: {broken}: not a readable image; replace or remove it"
    assert "Traceback" not in done.stderr
    assert saved_steps(tmp_path / "run") == SAVED


def test_an_error_in_the_data_ends_the_replicas_of_a_study(images, tmp_path):
    root, broken = images
    study = tmp_path / "study.py"
    study.write_text(
        "from cnn.ablation.planning.study_plan import StudyPlan\n"
        "def get_study():\n"
        f"    shared = {(*FIELDS, f'data.path={root}')!r}\n"
        "    arms = {'max': (), 'average': ('model.downsample=avg',)}\n"
        "    return StudyPlan(name='broken', config='configs/base.py', shared=shared, arms=arms,\n"
        "                     baseline='max', seeds=(0, 1, 2), margin=0.01,\n"
        "                     repeat_baseline=False)\n"
    )
    flags = "--workers=1", "--replicas=3"
    done = as_users_run(
        "ablate.py", "run", f"--config={study}", f"--workdir={tmp_path}/study", *flags
    )
    failures = sorted((tmp_path / "study").glob("*/*.failure.json"))
    assert len(failures) >= 6, done.stderr
    for file in failures:
        assert json.loads(file.read_text())["error"].startswith(f"{broken}: not a readable image")
    (own,) = [f for f in failures if f.parent.name == "max" and f.name.startswith("seed-0")]
    assert saved_steps(own.with_name(own.name.replace(".failure.json", ""))) == SAVED
