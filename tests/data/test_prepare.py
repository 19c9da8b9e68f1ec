"""Data sets made of official archives: what TFDS' own builder makes of them, in its order.

Small archives of the official formats stand for the network; their sizes and checksums stand for
the official ones.
"""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.image_classification import cifar, mnist

from cnn.config.atomic import whole_folder
from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.data.__main__ import main
from cnn.data.prepare import writer
from cnn.data.prepare.builders import BUILDERS
from cnn.data.prepare.own import own_set
from tests.data.official_files import cifar_row, idx, images, mat, npy, tar, wav


@pytest.fixture
def official(monkeypatch, tmp_path):
    """Puts files into a folder as the official ones of a builder."""

    def put(name, files):
        folder = tmp_path / "official"
        folder.mkdir(exist_ok=True)
        builder = BUILDERS[name]
        changed = []
        for archive in builder.archives:
            content = files.get(archive.name)
            if content is not None:
                (folder / archive.name).write_bytes(content)
                sha256 = hashlib.sha256(content).hexdigest()
                archive = replace(archive, size=len(content), sha256=sha256)
            changed.append(archive)
        monkeypatch.setitem(BUILDERS._entries, name, replace(builder, archives=tuple(changed)))
        return folder

    return put


def prepared(data, tmp_path, name, folder, dataset=None, **fields):
    """Prepares a set and opens it."""
    main(["prepare", name, f"--to={tmp_path / 'sets'}", f"--from={folder}"])
    data.update(source="tfds", name=dataset or name, data_dir=str(tmp_path / "sets"), **fields)
    return open_dataset(data)


def reference(tmp_path, split_examples, features):
    """Returns (values of `features`) of each split as TFDS' own builder orders them."""
    with tfds.core.registered.skip_registration():

        class Reference(tfds.core.GeneratorBasedBuilder):
            """Examples whose key is their index."""

            name = "reference"
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                kinds = {"number": tfds.features.Scalar(np.int64)}
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(kinds)
                )

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(n) for split, n in split_examples.items()}

            def _generate_examples(self, count):
                for i in range(count):
                    yield features(i), {"number": i}

        builder = Reference(data_dir=tmp_path / "reference", file_format="array_record")
    tfds.disable_progress_bar()
    builder.download_and_prepare()
    return {
        split: np.array([int(x["number"]) for x in builder.as_data_source(split)])
        for split in split_examples
    }


def check(split, wanted_images, wanted_labels, order):
    found, labels = split.read(np.arange(len(order)))
    np.testing.assert_array_equal(found, wanted_images[order])
    np.testing.assert_array_equal(labels, wanted_labels[order])


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist(data, tmp_path, official, name):
    train, test = images(70, 28, 28), images(30, 28, 28)
    own = {"train": (train, np.arange(70) % 10), "t10k": (test, np.arange(30) % 10)}
    files = {}
    for split, (pixels, labels) in own.items():
        files[f"{split}-images-idx3-ubyte.gz"] = idx(pixels)
        files[f"{split}-labels-idx1-ubyte.gz"] = idx(labels.astype(np.uint8))
    dataset = prepared(data, tmp_path, name, official(name, files))
    orders = reference(tmp_path, {"train": 70, "test": 30}, lambda i: i)
    check(dataset.train, train[..., None], np.arange(70) % 10, orders["train"])
    check(dataset.test, test[..., None], np.arange(30) % 10, orders["test"])
    assert dataset.class_names[9] == ("9" if name == "mnist" else "Ankle boot")
    assert dataset.train.name.startswith(f"{name} train")


def test_cifar10(data, tmp_path, official):
    pixels = images(60, 32, 32, 3)
    rows = [cifar_row(image, i % 10) for i, image in enumerate(pixels)]
    files = {f"data_batch_{b + 1}.bin": b"".join(rows[10 * b : 10 * b + 10]) for b in range(5)}
    files |= {"test_batch.bin": b"".join(rows[50:])}
    names = [f"name {i}" for i in range(10)]
    files |= {"batches.meta.txt": "\n".join([*names, "", ""]).encode()}
    content = tar({f"cifar-10-batches-bin/{name}": part for name, part in files.items()})
    folder = official("cifar10", {"cifar-10-binary.tar.gz": content})
    dataset = prepared(data, tmp_path, "cifar10", folder)
    orders = reference(tmp_path, {"train": 50, "test": 10}, lambda i: i)
    labels = np.arange(60) % 10
    check(dataset.train, pixels[:50], labels[:50], orders["train"])
    check(dataset.test, pixels[50:], labels[50:], orders["test"])
    assert dataset.class_names == tuple(names)
    # TFDS itself reads what was written, ids included.
    first = tfds.builder_from_directory(tmp_path / "sets" / "cifar10" / "3.0.2")
    one = first.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})[0]
    assert one["id"] == f"train_{orders['train'][0]:05}".encode()


def test_keys_are_those_of_tfds_own_builders(monkeypatch, tmp_path):
    """Which decide the order; its builders read with TensorFlow, so that is taken out."""
    blank = np.zeros((32, 32, 3), np.uint8)
    monkeypatch.setattr(cifar, "_load_data", lambda path, n: iter([([i] * n, blank) for i in "01"]))
    builder = cifar.Cifar10(data_dir=tmp_path)
    found = list(builder._generate_examples("train_", ["a", "b"]))
    assert [(key, example["id"]) for key, example in found] == [
        (i, f"train_{i:05}") for i in range(4)
    ]
    monkeypatch.setattr(mnist, "_extract_mnist_images", lambda path, n: np.zeros((n, 28, 28, 1)))
    monkeypatch.setattr(mnist, "_extract_mnist_labels", lambda path, n: np.arange(n))
    builder = mnist.FashionMNIST(data_dir=tmp_path)
    assert [key for key, _ in builder._generate_examples(5, "a", "b")] == list(range(5))


def test_cifar100(data, tmp_path, official):
    pixels = images(30, 32, 32, 3)
    rows = [cifar_row(image, i % 20, (7 * i) % 100) for i, image in enumerate(pixels)]
    files = {"train.bin": b"".join(rows[:20]), "test.bin": b"".join(rows[20:])}
    for kind, count in (("coarse", 20), ("fine", 100)):
        names = "\n".join(f"{kind} {i}" for i in range(count))
        files[f"{kind}_label_names.txt"] = f"{names}\n".encode()
    content = tar({f"cifar-100-binary/{name}": part for name, part in files.items()})
    folder = official("cifar100", {"cifar-100-binary.tar.gz": content})
    dataset = prepared(data, tmp_path, "cifar100", folder)
    order = reference(tmp_path, {"train": 20}, lambda i: i)["train"]
    check(dataset.train, pixels[:20], 7 * np.arange(20) % 100, order)
    assert dataset.class_names[99] == "fine 99"


def test_svhn(data, tmp_path, official):
    pixels, labels = images(25, 32, 32, 3), np.arange(25) % 10 + 1
    files = {"train_32x32.mat": mat(pixels, labels), "test_32x32.mat": mat(pixels, labels)}
    dataset = prepared(data, tmp_path, "svhn", official("svhn", files), "svhn_cropped")
    order = reference(tmp_path, {"train": 25}, lambda i: i)["train"]
    check(dataset.train, pixels, labels % 10, order)  # the digit 0 is stored as 10
    assert dataset.class_names == tuple("0123456789")


def test_cifar10_1_and_cifar10_c(data, tmp_path, official):
    pixels, labels = images(12, 32, 32, 3), np.arange(12) % 10
    files = {}
    for version in ("v4", "v6"):
        files[f"cifar10.1_{version}_data.npy"] = npy(pixels)
        files[f"cifar10.1_{version}_labels.npy"] = npy(labels.astype(np.int32))
    order = reference(tmp_path, {"test": 12}, lambda i: i)["test"]
    fields = {"train_split": "test"}
    dataset = prepared(
        data, tmp_path, "cifar10_1", official("cifar10_1", files), "cifar10_1/v6", **fields
    )
    check(dataset.test, pixels, labels, order)
    stacked = images(5 * 12, 32, 32, 3)
    content = tar(
        {
            "CIFAR-10-C/labels.npy": npy(np.tile(labels, 5)),
            "CIFAR-10-C/glass_blur.npy": npy(stacked),
        },
        "w",
    )
    folder = official("cifar10_c", {"CIFAR-10-C.tar": content})
    named = "cifar10_corrupted/frosted_glass_blur_3"
    dataset = prepared(data, tmp_path, "cifar10_c", folder, named)
    check(dataset.test, stacked[24:36], labels, order)


def test_speech_commands(data, tmp_path, official):
    ramp = np.arange(16000)
    files = {
        "./yes/a_nohash_0.wav": wav(ramp),
        "./yes/b_nohash_0.wav": wav(ramp + 1),
        "./cat/a_nohash_0.wav": wav(ramp[:9000] + 2),
        "./no/c_nohash_0.wav": wav(ramp + 3),
        "./_background_noise_/hum.wav": wav(np.arange(40000) % 99),
        "./_background_noise_/running_tap.wav": wav(np.arange(40000) % 77),
        "./validation_list.txt": b"yes/b_nohash_0.wav\n",
        "./testing_list.txt": b"no/c_nohash_0.wav\n",
    }
    test = {"./no/c_nohash_0.wav": wav(ramp + 3), "./_silence_/0.wav": wav(0 * ramp)}
    folder = official(
        "speech_commands",
        {
            "speech_commands_v0.02.tar.gz": tar(files),
            "speech_commands_test_set_v0.02.tar.gz": tar(test),
        },
    )
    data.signal, data.validation_split = "sound", "validation"
    dataset = prepared(data, tmp_path, "speech_commands", folder)
    names = dataset.class_names
    assert names[-2:] == ("_silence_", "_unknown_")

    def contents(split):
        waves, labels = split.read(np.arange(len(split)))
        return sorted((names[y], int(w[0, 0])) for w, y in zip(waves, labels, strict=True))

    # Noise is cut into seconds, half a second apart.
    silence = [("_silence_", start % 99) for start in range(0, 24000, 8000)]
    assert contents(dataset.train) == sorted([*silence, ("_unknown_", 2), ("yes", 0)])
    taps = [("_silence_", start % 77) for start in range(0, 24000, 8000)]
    assert contents(dataset.validation) == sorted([*taps, ("yes", 1)])
    assert contents(dataset.test) == [("_silence_", 0), ("no", 3)]


def test_imagenet(data, tmp_path, official, monkeypatch):
    encoded = {}
    for wnid in ("n01440764", "n01443537"):
        for i in range(2):
            content = cv2.imencode(".jpg", images(1, 40 + i, 50, 3)[0])[1].tobytes()
            encoded[f"{wnid}_{i}.JPEG"] = content
    inner = {
        f"{wnid}.tar": tar({k: v for k, v in encoded.items() if k.startswith(wnid)}, "w")
        for wnid in ("n01440764", "n01443537")
    }
    files = {
        "ILSVRC2012_img_train.tar": tar(inner, "w"),
        "ILSVRC2012_img_val.tar": tar({"ILSVRC2012_val_00000001.JPEG": content}, "w"),
    }
    labels = tmp_path / "validation_labels.txt"
    labels.write_text("n01443537\n")
    from tensorflow_datasets.core.utils import resource_utils

    real = resource_utils.tfds_path
    monkeypatch.setattr(
        resource_utils, "tfds_path", lambda p: labels if "validation_labels" in p else real(p)
    )
    folder = official("imagenet", files)
    dataset = prepared(
        data, tmp_path, "imagenet", folder, "imagenet2012", image_size=8, test_split="validation"
    )
    assert (len(dataset.train), dataset.num_classes) == (4, 1000)
    assert sorted(dataset.train.read(np.arange(4))[1]) == [0, 0, 1, 1]
    assert dataset.test.read(np.arange(1))[1] == [1]
    order = reference(tmp_path, {"train": 4}, lambda i: list(encoded)[i])["train"]
    found = dataset.train.read(np.arange(4))[1]
    assert [dataset.class_names[y] for y in found] == [list(encoded)[i][:9] for i in order]


def class_folder(root):
    for i in range(12):
        (root / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / "ab"[i % 2] / f"{i}.png"), np.full((4, 5, 3), i, np.uint8))


def test_class_folders_and_tables(data, tmp_path):
    class_folder(tmp_path / "mine" / "train")
    class_folder(tmp_path / "mine" / "test")
    # Ignored, as data.source=folder does.
    assert cv2.imwrite(
        str(tmp_path / "mine" / "train" / "overview.png"), np.zeros((9, 9), np.uint8)
    )
    dataset = prepared(data, tmp_path, "mine", tmp_path / "mine")
    assert (len(dataset.train), len(dataset.test), dataset.class_names) == (12, 12, ("a", "b"))
    pixels, labels = dataset.train.read(np.arange(12))
    np.testing.assert_array_equal(pixels[:, 0, 0, 0] % 2, labels)
    lines = [
        f"{i}.png,{'even' if i % 2 == 0 else 'odd'},{'test' if i > 8 else 'train'}"
        for i in range(12)
    ]
    for i in range(12):
        os.link(tmp_path / "mine" / "train" / "ab"[i % 2] / f"{i}.png", tmp_path / f"{i}.png")
    table = tmp_path / "table.csv"
    # As spreadsheets write it, with a byte order mark.
    table.write_text("\n".join(["path,label,split", *lines]), "utf-8-sig")
    dataset = prepared(data, tmp_path, "tabled", table)
    assert (len(dataset.train), len(dataset.test)) == (9, 3)
    assert dataset.class_names == ("even", "odd")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ('a.png,cat\na.png,"big\ndog"\n', r"line 4: the name of the class, 'big\\ndog', has a"),
        ("a.png,cat\na.png,dog \n", "line 3: the name of the class, 'dog ', has a line break or"),
    ],
)
def test_a_row_that_names_no_class_is_refused(tmp_path, rows, words):
    table = tmp_path / "table.csv"
    table.write_text(f"path,label\n{rows}")
    with pytest.raises(UserError, match=f"{table}, {words}"):
        main(["prepare", "mine", f"--to={tmp_path / 'sets'}", f"--from={table}"])


def test_a_folder_whose_name_is_no_line_is_refused(tmp_path):
    class_folder(tmp_path / "mine")
    (tmp_path / "mine" / "b").rename(tmp_path / "mine" / "b ")
    with pytest.raises(UserError, match="b : the name of the class, 'b ', has a line break or"):
        main(["prepare", "mine", f"--to={tmp_path / 'sets'}", f"--from={tmp_path / 'mine'}"])


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ("train/steam/1 train/diesel/2 car/3 bus/4", "mine/bus: is taken for a split, as the"),
        ("test/steam/1 test/diesel/2 train/3", "mine/train: is taken for a split, as the folders"),
        ("train/a/1 train/b/2 test/a/3 dev/", "mine/dev: is taken for a split, as the folders"),
        ("train/a/1 train/b/2 test/a/3 test/b/", "mine/test/b: contains no files; add some or"),
        ("car/1 bus/2 train/", "mine/train: contains no files; add some or"),
    ],
)
def test_no_folder_is_left_out_in_silence(tmp_path, paths, words):
    for path in paths.split():
        name = path.rpartition("/")[0]
        (tmp_path / "mine" / name).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            file = tmp_path / "mine" / f"{path}.png"
            assert cv2.imwrite(str(file), np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(UserError, match=words):
        own_set("mine", tmp_path / "mine")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b"path,label\n0.png,a\n1.png\n", r"table\.csv, line 3: has no label"),
        (b"label,path\na,0.png\nb\n", r"table\.csv, line 3: has no path"),
        (b"path,label\n0.png,a\n1\0.png,b\n", r"cannot be read: embedded null byte"),
        *(
            (
                f"path,label,split\n0.png,a,{split}\n1.png,b,train\n".encode(),
                "TFDS cannot read; name",
            )
            for split in ("all", "a b", "a/b", "te[st", "_")
        ),
    ],
)
def test_tables_that_cannot_be_prepared_leave_nothing(tmp_path, table, words):
    for i in range(2):
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((4, 5, 3), i, np.uint8))
    (tmp_path / "table.csv").write_bytes(table)
    with pytest.raises(UserError, match=words):
        main(["prepare", "mine", f"--to={tmp_path / 'sets'}", f"--from={tmp_path / 'table.csv'}"])
    assert not (tmp_path / "sets").exists()


def test_names_that_are_not_utf8_are_refused(tmp_path):
    class_folder(tmp_path / "mine")
    command = ["prepare", "mine", f"--from={tmp_path / 'mine'}"]
    name = os.fsdecode(b"\xff")
    with pytest.raises(UserError, match=r"--to: .*/\\xff: folders of data sets must be UTF-8"):
        main([*command, f"--to={tmp_path / name}"])
    (tmp_path / "mine" / "a" / "0.png").rename(tmp_path / "mine" / "a" / f"{name}.png")
    with pytest.raises(UserError, match=r"a/\\xff\.png: names of files and folders must be UTF-8"):
        main([*command, f"--to={tmp_path / 'sets'}"])
    assert os.listdir(tmp_path) == ["mine"]


def test_imagenet_that_is_extracted(data, tmp_path):
    class_folder(tmp_path / "extracted" / "train")
    class_folder(tmp_path / "extracted" / "val")
    dataset = prepared(data, tmp_path, "imagenet", tmp_path / "extracted", test_split="val")
    assert (len(dataset.train), len(dataset.test), dataset.class_names) == (12, 12, ("a", "b"))


@pytest.fixture
def small_cifar(official):
    row = cifar_row(images(1, 32, 32, 3)[0], 1)
    files = {f"data_batch_{i}.bin": 4 * row for i in range(1, 6)} | {"test_batch.bin": row}
    files["batches.meta.txt"] = b"a\nb\n"
    content = tar({f"cifar-10-batches-bin/{name}": part for name, part in files.items()})
    return official("cifar10", {"cifar-10-binary.tar.gz": content})


def left(root):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_mistakes_are_one_sentence_and_leave_nothing(tmp_path, small_cifar, monkeypatch):
    to, file = f"--to={tmp_path / 'sets'}", small_cifar / "cifar-10-binary.tar.gz"
    command = ["prepare", "cifar10", to, f"--from={file}"]
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"bytes, but the official cifar-10-binary\.tar\.gz has"):
        main(command)
    file.write_bytes(whole[:-1] + b"x")
    with pytest.raises(UserError, match=r"its SHA-256 is .* but that of the official"):
        main(command)
    file.write_bytes(whole)
    with pytest.raises(UserError, match=r"--from: cifar-10-binary\.tar\.gz is missing; pass"):
        main(["prepare", "cifar10", to, f"--from={tmp_path}"])
    with pytest.raises(UserError, match=r"'cifar1O' is not a data set .* did you mean 'cifar10'"):
        main(["prepare", "cifar1O", to])
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        with monkeypatch.context() as patch:
            patch.setattr(writer, "_write_shard", Mock(side_effect=error))
            with pytest.raises(type(error)):
                main(command)
        assert left(tmp_path / "sets") == []
    with monkeypatch.context() as patch:
        patch.setattr(writer.shutil, "disk_usage", lambda path: Mock(free=10))
        with pytest.raises(UserError, match=r"0 MiB are free but"):
            main(command)
    target = tmp_path / "sets" / "cifar10" / "3.0.2"
    with pytest.raises(UserError, match="another process is writing it"), whole_folder(target):
        main(command)
    main(command)
    with pytest.raises(UserError, match=r"3\.0\.2: already exists; remove it"):
        main(command)


def test_two_examples_of_one_key_are_refused(tmp_path):
    example = "x", {"image": writer.png(images(1, 2, 2, 3)[0]), "label": "a"}
    features = {"image": writer.image(2, 2, 3), "label": writer.label(("a", "b"))}
    twice = writer.PreparedSet("s", "1.0.0", features, {"train": lambda: iter([example] * 2)})
    with pytest.raises(UserError, match=r"s: two examples of train have the same key"):
        writer.write_data_set(twice, tmp_path)
    assert left(tmp_path) == []


def test_what_its_owner_has_to_be_asked_for_is_never_downloaded(tmp_path):
    with pytest.raises(UserError, match=r"ILSVRC2012_img_train\.tar is missing; pass"):
        main(["prepare", "imagenet", f"--to={tmp_path}"])


def test_the_command_ends_in_one_sentence(tmp_path, repository):
    command = [sys.executable, "-m", "cnn.data", "prepare", "cifar10", f"--to={tmp_path}"]
    done = subprocess.run(
        [*command, f"--from={tmp_path / 'nowhere'}"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: --from: {tmp_path / 'nowhere'} does not exist\n"
