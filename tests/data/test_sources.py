import io
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.data import SOURCES, ArraySplit, make_feed, open_dataset


@pytest.fixture
def embedded(data, repository):
    data.name, data.data_dir = "fashion_mnist_10k", str(repository / "data")
    data.mean, data.std = (0.5,), (0.5,)
    return data


def test_every_data_field_is_read_by_some_source(data):
    read = set().union(*(source.reads for source in SOURCES.values()))
    assert {name for name in data if not isinstance(data[name], ConfigDict)} <= read
    # The signal reads what is left of its own section.
    assert read <= {name for name, _ in leaves(data)}


def test_unknown_source(data):
    data.source = "tdfs"
    with pytest.raises(
        UserError, match=r"data\.source: unknown source 'tdfs': did you mean 'tfds'"
    ):
        open_dataset(data)


# tfds


def test_tfds_split_expressions(embedded):
    embedded.train_split, embedded.test_split = "train[:30%]", "test[-50:]"
    dataset = open_dataset(embedded)
    assert (len(dataset.train), len(dataset.test)) == (3000, 50)
    assert dataset.input_shape == (28, 28, 1)
    assert dataset.class_names[9] == "Ankle boot"


def test_a_damaged_record_of_the_files_of_tfds_is_one_sentence(embedded, tmp_path):
    shutil.copytree(f"{embedded.data_dir}/{embedded.name}", tmp_path / embedded.name)
    [file] = tmp_path.rglob("dataset_info.json")
    text = file.read_text()
    assert "{SHARD_X_OF_Y}" in text
    file.write_text(text.replace("{SHARD_X_OF_Y}", "{SHARD_X_OF_Z}"))
    embedded.data_dir = str(tmp_path)
    with pytest.raises(UserError, match=r"cannot be opened: ValueError: .*restore the files"):
        open_dataset(embedded)


def test_tfds_image_size_and_channels(embedded):
    embedded.image_size, embedded.channels = 14, 3
    embedded.mean = embedded.std = (0.5,) * 3
    small, _ = open_dataset(embedded).train.read(np.arange(4))
    embedded.image_size, embedded.channels, embedded.mean, embedded.std = 0, 0, (0.5,), (0.5,)
    large, _ = open_dataset(embedded).train.read(np.arange(4))
    assert small.shape == (4, 14, 14, 3)
    means = large.reshape(4, 14, 2, 14, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(small, np.repeat(means[..., None], 3, -1), atol=0.51)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"name": "cifar10"},
            r"data\.name: no prepared data set 'cifar10' in /.*/data; set .*tfds",
        ),
        ({"name": ""}, r"data\.name: no prepared data set"),
        ({"data_dir": "/nowhere"}, r"no prepared data set .* in /nowhere"),
        ({"version": "2.0.0"}, r"data\.version: no version '2\.0\.0' .* it contains 1\.0\.0"),
        ({"train_split": "trian"}, r"data\.train_split: no split 'trian' .* did you mean 'train'"),
        ({"test_split": "train[:x]"}, r"data\.test_split: no split 'train\[:x\]'"),
        ({"test_split": "test[:2001]"}, r"data\.test_split: no split 'test\[:2001\]'"),
        ({"train_split": "train[7:7]"}, r"data\.train_split: .* selects no examples"),
        ({"train_split": "train[50%:20%]"}, r"data\.train_split: .* selects no examples"),
        (
            {"train_split": "all[:5]"},
            r"data\.train_split: no split 'all\[:5\]' .*allowed: test, train",
        ),
    ],
)
def test_tfds_mistakes_are_one_sentence(embedded, changes, message):
    embedded.update(changes)
    with pytest.raises(UserError, match=message) as raised:
        open_dataset(embedded)
    assert "\n" not in str(raised.value)


def damage(kind, path):
    content = bytearray(path.read_bytes())
    if kind == "missing":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 255
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["missing", "cut", "flipped"])
@pytest.mark.parametrize("placement", ["stream", "device"])
def test_tfds_damaged_shards_are_one_sentence(
    embedded, repository, tmp_path, shardings, placement, kind
):
    source = repository / "data" / "fashion_mnist_10k"
    shutil.copytree(source, tmp_path / "fashion_mnist_10k")
    damage(kind, next(tmp_path.rglob("*train.array_record*")))
    embedded.update(data_dir=str(tmp_path), placement=placement)
    dataset = open_dataset(embedded)
    with pytest.raises(UserError, match=r"of fashion_mnist_10k train cannot be read: .*; restore"):
        for _ in make_feed(dataset.train, embedded, *shardings(1), 512, 0).batches(0, 20):
            pass


def test_tfds_split_without_labels(embedded):
    train = open_dataset(embedded).train
    fetch = train._fetch
    train._fetch = lambda indices: [(image, -1, where) for image, _, where in fetch(indices)]
    with pytest.raises(
        UserError, match=r"example 7 of fashion_mnist_10k train: label -1 is not one of"
    ):
        train.read(np.array([7]))


def test_a_folder_of_the_same_name_does_not_hide_the_embedded_set(embedded, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    embedded.data_dir = "data"
    assert len(open_dataset(embedded).train) == 10_000


@pytest.fixture
def copied(embedded, repository, tmp_path):
    """The metadata of the embedded data set, to be damaged."""
    folder = tmp_path / "fashion_mnist_10k" / "1.0.0"
    source = repository / "data" / "fashion_mnist_10k" / "1.0.0"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*array_record*"))
    embedded.data_dir = str(tmp_path)
    return folder


def test_tfds_set_without_labels(embedded, copied):
    features = copied / "features.json"
    features.write_text(features.read_text().replace('"label"', '"age"'))
    (copied / "label.labels.txt").rename(copied / "age.labels.txt")
    with pytest.raises(UserError, match="is not a data set for image classification"):
        open_dataset(embedded)


def test_tfds_folder_with_damaged_metadata(embedded, copied):
    (copied / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match=r"1\.0\.0: not a data set that tfds can read"):
        open_dataset(embedded)


@pytest.mark.parametrize("expression", ["train", "train[:5]", "test+train[50%:]"])
def test_tfds_files_with_more_examples_than_said_are_refused(
    embedded, copied, repository, expression
):
    for file in (repository / "data").rglob("*array_record*"):
        (copied / file.name).symlink_to(file)
    info = copied / "dataset_info.json"
    text = info.read_text()
    assert '"10000"' in text
    info.write_text(text.replace('"10000"', '"9999"'))
    embedded.train_split = expression
    with pytest.raises(
        UserError, match=r"train\.array_record.* holds 10,000 .* says 9,999; restore"
    ):
        open_dataset(embedded)


def test_tfds_takes_the_newest_version(embedded, copied):
    for version in ("1.10.0", "1.9.0"):
        shutil.copytree(copied, copied.parent / version)
        info = copied.parent / version / "dataset_info.json"
        info.write_text(info.read_text().replace('"1.0.0"', f'"{version}"'))
    embedded.version = "1.11.0"
    with pytest.raises(UserError, match=r"it contains 1\.0\.0, 1\.9\.0, 1\.10\.0"):
        open_dataset(embedded)
    embedded.version = ""
    embedded.train_split = "nope"
    with pytest.raises(UserError, match=r"1\.10\.0"):
        open_dataset(embedded)


def test_tfds_is_quiet_and_needs_no_tensorflow(repository, tmp_path):
    program = (
        "import sys, numpy as np; from configs.base import get_config\n"
        "from cnn.data import open_dataset\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
        "data = get_config().data\n"
        "data.name, data.data_dir = 'fashion_mnist_10k', 'data'\n"
        "dataset = open_dataset(data)\n"
        "dataset.test.read(np.arange(3))\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,  # the embedded set is found from anywhere
        env={"PYTHONPATH": str(repository), "PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# npz


@pytest.fixture
def arrays():
    rng = np.random.default_rng(3)
    return {
        "train_image": rng.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8),
        "train_label": np.arange(20) % 4,
        "test_image": rng.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8),
        "test_label": np.array([0, 1, 2, 0, 1, 2]),
    }


def npz(data, tmp_path, arrays):
    data.source, data.path = "npz", str(tmp_path / "set.npz")
    np.savez(data.path, **arrays)
    return data


def test_npz(data, tmp_path, arrays):
    data = npz(data, tmp_path, arrays)
    data.train_split = "train[5:15]"
    dataset = open_dataset(data)
    images, labels = dataset.train.read(np.array([0, 9]))
    np.testing.assert_array_equal(images, arrays["train_image"][[5, 14]])
    np.testing.assert_array_equal(labels, arrays["train_label"][[5, 14]])
    assert labels.dtype == np.int32
    assert dataset.num_classes == 4
    assert dataset.test.num_classes == 4  # train's, although it shows three


def test_npz_class_names_and_grey_without_channel_axis(data, tmp_path, arrays):
    arrays = {
        "train_image": arrays["train_image"][..., 0],
        "train_label": arrays["train_label"],
        "class_names": np.array(["a", "b", "c", "d", "e"]),
    }
    dataset = open_dataset(npz(data, tmp_path, arrays), splits=("train",))
    assert dataset.input_shape == (4, 4, 1)
    assert dataset.class_names == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_label": np.arange(19)}, r"one integer per image \(20\)"),
        ({"train_label": np.arange(20) / 1.0}, "integers"),
        ({"train_image": np.zeros((20, 4, 4, 3))}, "images are float64"),
        ({"train_image": np.zeros((20, 4, 4, 2), np.uint8)}, "2 channels"),
        ({"train_label": np.arange(20) - 1}, "labels run from -1 to 18"),
        ({"test_label": np.array([0, 1, 2, 3, 4, 0])}, "labels run from 0 to 4"),
        ({"test_image": np.zeros((6, 5, 4, 3), np.uint8)}, r"data\.test_split: .*\(5, 4, 3\)"),
    ],
)
def test_npz_arrays_that_do_not_fit(data, tmp_path, arrays, change, message):
    data = npz(data, tmp_path, {**arrays, **change})
    with pytest.raises(UserError, match=message):
        _ = open_dataset(data).test


def test_npz_missing_split_and_unreadable_file(data, tmp_path, arrays):
    data = npz(data, tmp_path, arrays)
    data.test_split = "tset"
    with pytest.raises(
        UserError, match=r"data\.test_split: no split 'tset' .* did you mean 'test'"
    ):
        open_dataset(data)
    (tmp_path / "set.npz").write_bytes(b"not a zip file")
    with pytest.raises(UserError, match=r"data\.path: .*set\.npz is not a readable"):
        open_dataset(data)
    data.path = str(tmp_path / "none.npz")
    with pytest.raises(UserError, match=r"data\.path: .*none\.npz' is not a file"):
        open_dataset(data)


@pytest.mark.parametrize("names", ["medmnist", "keras"])
def test_npz_names_of_others(data, tmp_path, arrays, names):
    if names == "medmnist":
        arrays = {f"{key}s": value for key, value in arrays.items()}
        arrays |= {"val_images": arrays["test_images"][:4], "val_labels": np.arange(4)}
        arrays = {k: v[:, None] if "label" in k else v for k, v in arrays.items()}
        data.validation_split = "val"
    else:
        parts = {"image": "x", "label": "y"}
        arrays = {f"{parts[k.split('_')[1]]}_{k.split('_')[0]}": v for k, v in arrays.items()}
    dataset = open_dataset(npz(data, tmp_path, arrays))
    assert (len(dataset.train), len(dataset.test), dataset.num_classes) == (20, 6, 4)
    np.testing.assert_array_equal(dataset.test.read(np.arange(6))[1], [0, 1, 2, 0, 1, 2])
    assert len(dataset.validation or ()) == (4 if names == "medmnist" else 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_label": np.array([30_000_000] + [0, 1] * 9 + [0])}, "go up to 30000000, but only"),
        ({"train_label": np.arange(20) % 5 * 100}, "go up to 400, but only 5 of these numbers"),
        (
            {"train_label": np.zeros((20, 14), np.int64)},
            r"'train_label' is int64 .20, 14.; lab",
        ),
        ({"test_label": np.array([0, 1, 2, 3, 4, 0])}, "labels run from 0 to 4; with 4 classes"),
        ({"class_names": np.array(["a", "b", "a", "c"])}, "two classes are named 'a'"),
        ({"class_names": np.array(["a", "b", " ", "c"])}, "a class has an empty name"),
        ({"class_names": np.array("a")}, r"'class_names' is <U1 \[\]; give one string per class"),
        ({"class_names": np.array([["a", "b"]] * 2)}, r"'class_names' is <U1 \[2, 2\]; give one"),
        ({"train_label": np.zeros(20, int), "test_label": np.zeros(6, int)}, "has only one class"),
    ],
)
def test_npz_labels_are_checked_before_training(data, tmp_path, arrays, change, message):
    with pytest.raises(UserError, match=message):
        open_dataset(npz(data, tmp_path, {**arrays, **change}))


def test_npz_of_another_kind(data, tmp_path, arrays):
    data = npz(data, tmp_path, {"a": np.zeros(3)})
    with pytest.raises(UserError, match=r"set\.npz contains a; it needs 'train_image' and 'train"):
        open_dataset(data)
    with open(data.path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match=r"set\.npz is a single array \(\.npy\); save it wi"):
        open_dataset(data)
    (tmp_path / "set.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"set\.npz is not a readable \.npz file"):
        open_dataset(data)


def damaged_npz(path, arrays, kind):
    """Writes a file whose directory is whole, but whose train labels cannot be read."""
    (np.savez_compressed if kind == "deflate" else np.savez)(path, **arrays)
    content = bytearray(path.read_bytes())
    if kind == "petabytes":
        header = io.BytesIO()
        shape = {"descr": "<i8", "fortran_order": False, "shape": (1 << 50,)}
        np.lib.format.write_array_header_1_0(header, shape)
        with zipfile.ZipFile(path, "w") as file:
            for name in arrays:
                file.writestr(f"{name}.npy", header.getvalue())
        return
    name = b"train_label.npy"
    if kind == "deflate":
        name_at = content.index(name)
        extra = int.from_bytes(content[name_at - 2 : name_at], "little")
        start = name_at + len(name) + extra
        content[start : start + 8] = b"\xff" * 8
    else:
        entry = content.rindex(b"PK\1\2", 0, content.rindex(name))
        content[entry + 8] |= 1  # of its flags: encrypted
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["deflate", "encrypted", "petabytes"])
def test_npz_damaged_inside(data, tmp_path, arrays, kind):
    data = npz(data, tmp_path, arrays)
    damaged_npz(tmp_path / "set.npz", arrays, kind)
    with pytest.raises(UserError, match=r"set\.npz: 'train_label' cannot be read: .+; write the"):
        open_dataset(data)


def test_npz_never_unpickles(data, tmp_path, arrays):
    data = npz(data, tmp_path, {**arrays, "train_label": np.array([print] * 20, object)})
    with pytest.raises(UserError, match="'train_label' cannot be read"):
        open_dataset(data)


def test_array_split_copies_nothing_it_gives_away():
    images = np.zeros((3, 2, 2, 1), np.uint8)
    split = ArraySplit(images, np.arange(3), ("a", "b", "c"))
    split.read(np.arange(3))[0][:] = 7
    assert images.max() == 0


# synthetic


def test_synthetic_images_are_functions_of_their_index(data):
    data.source = "synthetic"
    dataset = open_dataset(data)
    images, labels = dataset.train.read(np.arange(40))
    again, _ = open_dataset(data).train.read(np.array([31, 2]))
    np.testing.assert_array_equal(again, images[[31, 2]])
    np.testing.assert_array_equal(labels, np.arange(40) % 10)
    assert images.dtype == np.uint8
    assert len(np.unique(images.reshape(40, -1), axis=0)) == 40
    assert not np.array_equal(dataset.test.read(np.arange(40))[0], images)


def test_synthetic_classes_can_be_told_apart(data):
    data.source, data.synthetic_shape, data.synthetic_classes = "synthetic", (9, 7, 1), 6
    dataset = open_dataset(data)
    images, labels = dataset.train.read(np.arange(120))
    means = np.stack([images[labels == k].mean(axis=0) for k in range(6)])
    unseen, wanted = dataset.test.read(np.arange(60))
    distances = ((unseen[:, None] - means) ** 2).sum(axis=(2, 3, 4))
    assert (distances.argmin(axis=1) == wanted).mean() > 0.95


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 2)])
def test_synthetic_sizes_that_cannot_be(data, shape):
    data.source, data.synthetic_shape = "synthetic", shape
    with pytest.raises(UserError, match=r"data\.synthetic_shape: "):
        open_dataset(data)
