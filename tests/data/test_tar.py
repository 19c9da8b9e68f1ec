"""Tar shards in WebDataset's layout."""

import io
import shutil
import subprocess
import tarfile
from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.data.signals.image import ImageCodec

LINK = "is a link; pack the shard again with `tar --dereference --hard-dereference`"


@pytest.fixture
def shards(data, tmp_path, monkeypatch):
    """Two shards of train and one of test: image i is of value i and of class i mod 3."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data.source, data.path = "tar", str(tmp_path / "set")
    data.mean = data.std = (0.5,) * 3
    (tmp_path / "set").mkdir()
    for name, numbers in (("train-0", range(9)), ("train-1", range(9, 18)), ("test-0", range(6))):
        files = {}
        for i in numbers:
            image = np.full((6, 5, 3), i, np.uint8)
            files[f"{i:04}.png"] = cv2.imencode(".png", image)[1].tobytes()
            files[f"{i:04}.cls"] = str(i % 3).encode()
            files[f"{i:04}.json"] = b"{}"
        put(tmp_path / "set" / f"{name}.tar", files)
    return data


def put(path, files):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_examples_are_read_in_any_order(shards):
    dataset = open_dataset(shards)
    assert (len(dataset.train), len(dataset.test), dataset.class_names) == (18, 6, ("0", "1", "2"))
    images, labels = dataset.train.read(np.array([17, 3, 0, 3]))
    np.testing.assert_array_equal(images[1], images[3])
    np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)
    every, labels = dataset.train.read(np.arange(18))
    assert sorted(every[:, 0, 0, 0]) == list(range(18))
    assert sorted(labels) != labels.tolist()  # classes are mixed


def test_names_of_classes_come_from_a_list_or_from_folders(shards, tmp_path):
    (tmp_path / "set" / "classes.txt").write_text("cat\ndog\nowl\n")
    assert open_dataset(shards).class_names == ("cat", "dog", "owl")
    (tmp_path / "set" / "classes.txt").write_text("Käuzchen\ndog\nowl\n", "utf-8-sig")
    assert open_dataset(shards).class_names == ("Käuzchen", "dog", "owl")
    (tmp_path / "set" / "classes.txt").write_text("Käuzchen\ndog\nowl\n", "latin-1")
    with pytest.raises(UserError, match=r"classes\.txt, byte 1: is not valid UTF-8; save it as"):
        open_dataset(shards)
    (tmp_path / "set" / "classes.txt").unlink()
    png = cv2.imencode(".png", np.zeros((6, 5, 3), np.uint8))[1].tobytes()
    for split in ("train", "test"):
        for old in (tmp_path / "set").glob(f"{split}-*.tar"):
            old.unlink()
        (tmp_path / "set" / split).mkdir()
        files = {"x/n2/a.b.png": png, "x/n1/c.png": png, "__MACOSX/n1/c.png": png}
        put(tmp_path / "set" / split / "0.tar", files)
    dataset = open_dataset(shards)
    assert (dataset.class_names, len(dataset.train), len(dataset.test)) == (("n1", "n2"), 2, 2)
    put(tmp_path / "set" / "train" / "1.tar", {"c.png": png})
    with pytest.raises(UserError, match=r"1\.tar/c\.png: has no \.cls file and is not"):
        open_dataset(shards)


@pytest.mark.parametrize("command", [False, True], ids=["tarfile", "tar"])
def test_a_folder_packed_as_a_whole_is_read_as_without_dots(shards, tmp_path, command):
    if command and not shutil.which("tar"):
        pytest.skip("needs tar")
    png = cv2.imencode(".png", np.zeros((6, 5, 3), np.uint8))[1].tobytes()
    files = {f"{folder}/{i}.png": png for folder in ("cat", "dog", ".bin") for i in range(2)}
    for name, content in files.items():
        (tmp_path / "all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / name).write_bytes(content)
    path = tmp_path / "set" / "train-0.tar"
    (tmp_path / "set" / "train-1.tar").unlink()
    put(path, files)
    before = open_dataset(shards, splits=("train",))
    if command:
        subprocess.run(["tar", "-cf", path, "-C", tmp_path / "all", "."], check=True)
    else:
        label = tarfile.TarInfo("label")
        label.type = b"V"
        with tarfile.open(path, "w") as archive:
            archive.addfile(label)
            archive.add(tmp_path / "all", ".")
    after = open_dataset(shards, splits=("train",))
    assert (len(after.train), after.class_names) == (4, ("cat", "dog"))
    assert after.identity == before.identity
    put(path, {"./0.png": png})
    with pytest.raises(UserError, match=r"train-0\.tar/0\.png: has no \.cls file and is not in a"):
        open_dataset(shards)


def test_shards_are_indexed_once(shards, monkeypatch):
    before = open_dataset(shards).identity
    monkeypatch.setattr(tarfile, "open", None)
    assert open_dataset(shards).identity == before


@pytest.mark.parametrize(
    "text", ["null", "[1]", '{"a": 1}', '[["a", "0", 0, 9, 5, ""]]', "[" * 9999]
)
def test_a_damaged_index_is_made_again(shards, tmp_path, text):
    before = open_dataset(shards).identity
    indices = {file: file.read_text() for file in (tmp_path / "cache").rglob("*.json")}
    assert len(indices) == 3
    for file in indices:
        file.write_text(text)
    assert open_dataset(shards).identity == before
    assert {file: file.read_text() for file in indices} == indices


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"type": tarfile.GNUTYPE_SPARSE}, "a.cls is sparse; pack it without --sparse"),
        ({"pax_headers": {"GNU.sparse.map": "0,x"}}, "is truncated or damaged, or not a tar"),
        ({"pax_headers": {"GNU.sparse.map": "0,1", "GNU.sparse.size": "9" * 12}}, "is sparse"),
        ({"type": tarfile.LNKTYPE, "linkname": "a.png"}, f"/a.cls: {LINK}"),
        ({"type": tarfile.SYMTYPE, "linkname": "a.png"}, f"/a.cls: {LINK}"),
        ({"type": tarfile.FIFOTYPE}, "/a.cls: is not a regular file; pack the shard again without"),
        ({"type": b"M"}, "/a.cls: is not a regular file; pack the shard again without"),
        ({}, r"a\.png: its class has 5,000 characters, and may have 1,000; pack the shard again"),
    ],
)
def test_a_shard_of_odd_entries_is_refused_by_its_name(shards, tmp_path, attributes, words):
    member, path = tarfile.TarInfo("a.cls"), tmp_path / "set" / "train-1.tar"
    member.size = 5000
    for name, value in attributes.items():
        setattr(member, name, value)
    png = cv2.imencode(".png", np.zeros((6, 5, 3), np.uint8))[1].tobytes()
    image = tarfile.TarInfo("a.png")
    image.size = len(png)
    with tarfile.open(path, "w") as archive:
        archive.addfile(member, io.BytesIO(b"9" * 5000))
        archive.addfile(image, io.BytesIO(png))
    with pytest.raises(UserError, match=rf"train-1\.tar.*{words}"):
        open_dataset(shards)


def changed(content, at, new):
    return content[:at] + new + content[at + len(new) :]


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (lambda whole, at: changed(whole, at + 100, b"x"), r"0010\.json \(byte 6,144\)"),
        (lambda whole, at: changed(whole, at, bytes(1024)), r"0010\.json"),
        (lambda whole, at: whole[:at], r"0010\.json"),
        (lambda whole, at: whole[:at] + bytes(512), r"0010\.json"),
        (lambda whole, at: whole + whole, r"0017\.json"),
    ],
    ids=["flipped", "zeroed", "cut", "half an end", "joined"],
)
def test_a_shard_that_does_not_end_as_an_archive_is_refused(shards, tmp_path, damage, place):
    path = tmp_path / "set" / "train-1.tar"
    with tarfile.open(path) as archive:
        at = archive.getmember("0011.png").offset
    path.write_bytes(damage(path.read_bytes(), at))
    with pytest.raises(UserError, match=rf"train-1\.tar: is truncated or damaged.* {place}"):
        open_dataset(shards)


def test_a_shard_may_end_with_the_mark_of_the_end_alone(shards, tmp_path):
    path = tmp_path / "set" / "train-1.tar"
    whole = path.read_bytes()
    path.write_bytes(whole.rstrip(b"\0") + bytes(510 + 1024))
    before = open_dataset(shards).identity
    path.write_bytes(whole)
    assert open_dataset(shards).identity == before


def test_an_example_without_a_class_among_others_is_refused(shards, tmp_path):
    png = cv2.imencode(".png", np.zeros((6, 5, 3), np.uint8))[1].tobytes()
    for more in ({}, {"pack/b.cls": b" "}):
        files = {"pack/a.png": png, "pack/a.cls": b"0", "pack/b.png": png}
        put(tmp_path / "set" / "train-1.tar", files | more)
        with pytest.raises(UserError, match=r"train-1\.tar/pack/b\.png: has no \.cls file or an"):
            open_dataset(shards)


def test_what_cannot_be_read_inside_a_whole_shard_is_named(shards, tmp_path, monkeypatch):
    png = cv2.imencode(".png", np.zeros((6, 5, 3), np.uint8))[1].tobytes()
    files = {"a.png": png, "a.cls": b"0"}
    path = tmp_path / "set" / "train-1.tar"
    put(path, files | {"b.png": png, "b.cls": "Käuzchen".encode("latin-1")})
    with pytest.raises(UserError, match=r"train-1\.tar/b\.cls, byte 1: is not valid UTF-8"):
        open_dataset(shards)
    put(path, files)
    (tmp_path / "set" / "train-0.tar").unlink()
    monkeypatch.setattr(ImageCodec, "look_at_content", Mock(side_effect=ValueError("odd pixels")))
    with pytest.raises(UserError, match=r"train-1\.tar/a\.png: cannot be read: odd pixels \(1 of"):
        open_dataset(shards)


def test_broken_shards_and_images(shards, tmp_path):
    path = tmp_path / "set" / "train-1.tar"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"IDAT", b"IDAX", 1))
    with pytest.raises(UserError, match=r"train-1\.tar/0009\.png: .*checksum .*\(1 of 18 files"):
        open_dataset(shards)
    shards.broken_files = "skip"
    assert len(open_dataset(shards).train) == 17
    path.write_bytes(whole)
    train = open_dataset(shards).train
    path.write_bytes(whole[:2000])
    with pytest.raises(UserError, match=r"train-1\.tar: has become shorter"):
        train.read(np.arange(18))
    with pytest.raises(UserError, match=r"train-1\.tar: is truncated"):
        open_dataset(shards)
    for other in (tmp_path / "set").iterdir():
        other.unlink()
    with pytest.raises(UserError, match=r"data\.path: .*/set contains no shards; name them"):
        open_dataset(shards)
