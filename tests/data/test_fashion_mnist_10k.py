import filecmp
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnn.data import open_dataset


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "data" / "fashion_mnist_10k"


def test_files_are_those_that_were_made(folder):
    listed = dict(
        reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines()
    )
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "1.0.0").iterdir()
    }
    assert found == listed


def test_size_and_licence(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8_000_000
    assert "Zalando SE" in (folder / "LICENSE").read_text()


def test_classes_are_balanced_and_images_distinct(data, folder):
    data.name, data.data_dir = "fashion_mnist_10k", str(folder.parent)
    data.mean, data.std = (0.5,), (0.5,)
    dataset = open_dataset(data)
    seen = []
    for split, per_class in ((dataset.train, 1000), (dataset.test, 200)):
        images, labels = split.read(np.arange(len(split)))
        np.testing.assert_array_equal(np.bincount(labels), np.full(10, per_class))
        seen.append({image.tobytes() for image in images})
    assert len(seen[0]) >= 9990
    assert len(seen[0] & seen[1]) == 0


SOURCE = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


@pytest.mark.skipif(
    not (SOURCE / "fashion_mnist" / "3.0.1").is_dir(),
    reason="needs the whole of Fashion-MNIST in TFDS_DATA_DIR",
)
def test_the_script_gives_the_same_bytes(folder, tmp_path):
    script = folder.parent / "make_fashion_mnist_10k.py"
    subprocess.run(
        [sys.executable, script, f"--source={SOURCE}", f"--out={tmp_path}"],
        check=True,
        capture_output=True,
    )
    names = [path.name for path in (folder / "1.0.0").iterdir()]
    made = tmp_path / "fashion_mnist_10k" / "1.0.0"
    assert filecmp.cmpfiles(folder / "1.0.0", made, names, shallow=False) == (names, [], [])
