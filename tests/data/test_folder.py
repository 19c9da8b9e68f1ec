import gc
import io
import os
import re
import struct
import zlib
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cnn.config.errors import UserError
from cnn.data import make_feed, open_dataset
from cnn.data.crop import decode_crops
from cnn.data.decode import ImageForm
from cnn.data.signals.image import ImageCodec

GOLDEN = Path(__file__).parents[1] / "golden" / "augmentations.npz"
CROPS = partial(decode_crops, area=(0.1, 0.5))


def write(path, height, width, channels=3, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    stored = image[..., ::-1] if channels == 3 else image  # OpenCV writes BGR
    assert cv2.imwrite(str(path), stored)
    return image


@pytest.fixture
def images(data, tmp_path):
    """Ten images of one size in two classes, by their path; the config that reads them."""
    data.source, data.path = "folder", str(tmp_path)
    data.mean, data.std = (0.5,) * 3, (0.5,) * 3
    written = {}
    for i in range(10):
        path = tmp_path / "train" / ("cat", "dog")[i % 2] / f"{i}.png"
        written[path] = write(path, 6, 5, seed=i)
    write(tmp_path / "test" / "dog" / "0.PNG", 6, 5, seed=99)
    return written


def test_images_labels_and_class_names(data, images):
    dataset = open_dataset(data)
    read, labels = dataset.train.read(np.arange(10))
    stored = {image.tobytes(): path.parent.name for path, image in images.items()}
    assert [stored.pop(image.tobytes()) for image in read] == [
        dataset.class_names[label] for label in labels
    ]
    assert dataset.class_names == ("cat", "dog")
    assert dataset.input_shape == (6, 5, 3)
    assert dataset.test.read(np.arange(1))[1] == [1]  # dog, as in train


def test_the_order_mixes_the_classes_and_lasts(data, images, tmp_path):
    def names():
        return [image.tobytes() for image in open_dataset(data).train.read(np.arange(10))[0]]

    before = names()
    labels = open_dataset(data).train.read(np.arange(10))[1]
    assert sorted(labels) != list(labels)
    assert names() == before


def test_slices_do_not_overlap(data, images):
    data.train_split, data.test_split = "train[:70%]", "train[70%:]"
    dataset = open_dataset(data)
    first, _ = dataset.train.read(np.arange(7))
    second, _ = dataset.test.read(np.arange(3))
    assert {i.tobytes() for i in (*first, *second)} == {i.tobytes() for i in images.values()}


def test_the_root_itself_can_be_the_split(data, images, tmp_path):
    data.path, data.train_split = str(tmp_path / "train"), ".[:5]"
    assert len(open_dataset(data, splits=("train",)).train) == 5


def test_grey_and_colour_of_any_size(data, tmp_path):
    data.source, data.path, data.mean, data.std = "folder", str(tmp_path), (0.5,), (0.5,)
    colour = write(tmp_path / "train" / "a" / "0.png", 40, 60)
    write(tmp_path / "train" / "b" / "1.png", 9, 7, channels=1)
    write(tmp_path / "train" / "b" / "deeper" / "2.jpg", 30, 30)
    write(tmp_path / "train" / "b" / "3.png", 8, 8, channels=4)
    with pytest.raises(UserError, match=r"data\.channels: .* set it to 1 \(grey\) or 3"):
        open_dataset(data, splits=("train",))
    data.channels = 1
    with pytest.raises(UserError, match=r"data\.image_size: .* differ in size"):
        open_dataset(data, splits=("train",))
    data.image_size = 20
    train = open_dataset(data, splits=("train",)).train
    images, labels = train.read(np.arange(4))
    assert images.shape == (4, 20, 20, 1)
    # The shorter side, 40, shrinks to 20 by averaging 2 x 2; the centre 20 of 30 columns stays.
    luma = colour @ np.array([0.299, 0.587, 0.114])
    expected = luma.reshape(20, 2, 30, 2).mean(axis=(1, 3))[:, 5:25]
    np.testing.assert_allclose(images[labels == 0][0, ..., 0], expected, atol=1.1)


def test_a_crop_while_decoding_depends_on_seed_and_step_alone(data, tmp_path, shardings):
    data.source, data.path, data.image_size = "folder", str(tmp_path), 8
    data.mean = data.std = (0.5,) * 3
    for i in range(12):
        write(tmp_path / "train" / "ab"[i % 2] / f"{i}.png", 10 + i, 21 - i, seed=i)
    train = open_dataset(data, splits=("train",)).train

    def batches(start, workers):
        data.workers = workers
        feed = make_feed(train, data, *shardings(2), 40, 0, draw_crops=CROPS)
        assert feed.cropped
        assert feed.arrays == ()
        return [np.asarray(batch["input"]) for batch in feed.batches(start, 3)]

    first = batches(0, 1)
    np.testing.assert_array_equal(first[1:], batches(1, 3))
    # Each of the twelve images is cropped in another way each time it comes.
    assert len(np.unique(np.concatenate(first).reshape(120, -1), axis=0)) == 120
    data.placement = "device"
    with pytest.raises(UserError, match=r"data\.placement: 'device' cannot be combined with"):
        make_feed(train, data, *shardings(1), 4, 0, draw_crops=CROPS)


def corrupt(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def cut_pages(path, length):
    """Three images in one file, which ends in the second."""
    pages = [Image.new("L", (40, 30), level) for level in (0, 99, 200)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    path.write_bytes(path.read_bytes()[:length])


BROKEN = {
    "cut.png": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "cut.jpg": lambda path: path.write_bytes(path.read_bytes()[:400]),
    "cut.gif": lambda path: cut_pages(path, 190),
    "cut.tif": lambda path: cut_pages(path, 2000),
    "flipped.png": corrupt,
    "empty.png": lambda path: path.write_bytes(b""),
    "text.jpg": lambda path: path.write_text("hello"),
    "other.txt": lambda path: path.write_text("hello"),
    "link.png": lambda path: (path.unlink(), path.symlink_to("/nowhere")),
    "loop.png": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "deep.png": lambda path: cv2.imwrite(str(path), np.full((6, 5), 4000, np.uint16)),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name_or_skipped_and_counted(data, images, tmp_path, name):
    path = tmp_path / "train" / "cat" / name
    write(path.with_suffix(".png" if path.suffix == ".txt" else path.suffix), 6, 5)
    path.with_suffix(".png").rename(path) if path.suffix == ".txt" else None
    BROKEN[name](path)
    with pytest.raises(UserError, match=rf"{name}: .*\(1 of 11 files are broken\)"):
        open_dataset(data)
    data.broken_files = "skip"
    dataset = open_dataset(data)
    assert dataset.skipped["count"] == 1
    assert name in dataset.skipped["files"][0]
    assert re.search(rf"^1 broken file is left out of .*{name}: ", dataset.remarks[0])
    train = dataset.train
    assert {i.tobytes() for i in train.read(np.arange(10))[0]} == {
        i.tobytes() for i in images.values()
    }


def test_a_file_that_breaks_later_is_named(data, images, tmp_path):
    train = open_dataset(data).train
    path = tmp_path / "train" / "cat" / "0.png"
    path.write_bytes(b"\x89PNG and no more")
    with pytest.raises(UserError, match=r"cat/0\.png: not a readable image"):
        train.read(np.arange(10))


def test_hidden_files_and_folders_hold_no_examples(data, images, tmp_path):
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db"):
        (tmp_path / "train" / name).write_bytes(b"\0")
    for name in (".ipynb_checkpoints", ".thumbnails", "@eaDir", ".git", "__MACOSX"):
        write(tmp_path / "train" / name / "x.png", 6, 5)
        write(tmp_path / "train" / "cat" / name / "x.png", 6, 5)
    dataset = open_dataset(data)
    assert (len(dataset.train), dataset.class_names) == (10, ("cat", "dog"))


def test_links_to_folders_are_followed_once(data, images, tmp_path):
    write(tmp_path / "elsewhere" / "more" / "x.png", 6, 5)
    (tmp_path / "train" / "cat" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "train" / "owl").symlink_to(tmp_path / "elsewhere")
    dataset = open_dataset(data, splits=("train",))
    assert dataset.class_names == ("cat", "dog", "owl")
    assert len(dataset.train) == 10 + 2


def test_mistakes_are_named(data, images, tmp_path):
    data.test_split = "val"
    sentence = (
        r"/val is not a folder .* has the splits test, train; --config\.data\.test_split=NAME"
    )
    with pytest.raises(UserError, match=rf"data\.test_split: .*{sentence} chooses one"):
        open_dataset(data)
    data.test_split = "test"
    (tmp_path / "test" / "bird").mkdir()
    with pytest.raises(UserError, match=r"test/bird: there is no class of that name in"):
        open_dataset(data)
    (tmp_path / "train" / "bird").mkdir()
    with pytest.raises(UserError, match=r"train/bird: contains no images"):
        open_dataset(data)
    data.path = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"data\.path: '.*nowhere' is not a folder"):
        open_dataset(data)


def test_orientation_tags_do_not_turn_images(data, tmp_path):
    data.source, data.path = "folder", str(tmp_path)
    data.mean = data.std = (0.5,) * 3
    exif = Image.Exif()
    exif[274] = 6  # to be shown turned by 90 degrees
    for name in "ab":
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (16, 8)).save(tmp_path / "train" / name / "0.jpg", exif=exif)
    train = open_dataset(data, splits=("train",)).train
    assert train.read(np.arange(2))[0].shape == (2, 8, 16, 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_both_decoders_of_jpeg_agree(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((68, 42)).convert(mode).save(buffer, "JPEG")
    encoded = np.frombuffer(buffer.getvalue(), np.uint8)
    for channels, flag in ((3, cv2.IMREAD_COLOR_RGB), (1, cv2.IMREAD_GRAYSCALE)):
        wanted = cv2.imdecode(encoded, flag).reshape(42, 68, channels)
        found = ImageForm(channels, 0).decode(encoded.tobytes(), "x")
        np.testing.assert_array_equal(found, wanted)


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def bad_pixels(path):
    """A PNG with right checksums around data that are no deflate stream."""
    header = struct.pack(">IIBBBBB", 5, 6, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", b"no pixels") + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("placement", ["stream", "device"])
def test_bad_pixels_with_right_checksums_end_every_feed_or_are_skipped(
    data, images, tmp_path, shardings, placement
):
    path = tmp_path / "train" / "cat" / "bad.png"
    bad_pixels(path)
    data.placement = placement
    train = open_dataset(data).train
    with pytest.raises(UserError, match=r"cat/bad\.png: not a readable image"):
        for _ in make_feed(train, data, *shardings(1), 4, 0).batches(0, 20):
            pass
    data.broken_files = "skip"
    dataset = open_dataset(data)
    assert dataset.skipped["files"] == [f"{path}: not a readable image"]
    assert len(dataset.train.read(np.arange(10))[0]) == 10


def encoded(image, suffix):
    return cv2.imencode(suffix, image)[1].tobytes()


def test_whole_files_that_look_odd_are_read(data, tmp_path):
    """With what phones append, a megabyte of text, the end of a thumbnail, a wrong name."""
    data.source, data.path = "folder", str(tmp_path)
    data.mean = data.std = (0.5,) * 3
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    jpeg, png = encoded(image, ".jpg"), encoded(image, ".png")
    text = chunk(b"tEXt", b"Comment\0" + b"x" * 1_200_000)
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(jpeg)) + jpeg
    files = {
        "trailer.jpg": jpeg + bytes(5000),
        "text.png": png[:33] + text + png[33:],
        "thumbnail.jpeg": jpeg[:2] + thumbnail + jpeg[2:],
        "really_png.JPEG": png,
    }
    for label in "ab":
        (tmp_path / "train" / label).mkdir(parents=True)
        for name, content in files.items():
            (tmp_path / "train" / label / name).write_bytes(content)
    assert len(open_dataset(data, splits=("train",)).train.read(np.arange(8))[0]) == 8
    cut = jpeg[:2] + thumbnail + jpeg[2 : len(jpeg) // 2] + bytes(5000)
    (tmp_path / "train" / "a" / "cut.jpg").write_bytes(cut)
    with pytest.raises(UserError, match=r"cut\.jpg: truncated"):
        open_dataset(data, splits=("train",))


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".tif", ".tiff", ".gif", ".jpe", ".jfif"])
def test_other_formats_are_read(data, tmp_path, suffix):
    data.source, data.path = "folder", str(tmp_path)
    data.mean = data.std = (0.5,) * 3
    image = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20, 4, 0), 4, 1)
    for name in "ab":
        (tmp_path / "train" / name).mkdir(parents=True)
        options = {"lossless": True} if suffix == ".webp" else {}
        Image.fromarray(image).save(tmp_path / "train" / name / f"x{suffix}", **options)
    read, _ = open_dataset(data, splits=("train",)).train.read(np.arange(2))
    np.testing.assert_allclose(read, np.stack([image] * 2), atol=40 if "j" in suffix else 0)


def test_an_animation_in_an_image_folder_is_named(data, images, tmp_path):
    first, second = (Image.new("L", (5, 6), level) for level in (0, 99))
    first.save(tmp_path / "train" / "cat" / "x.gif", save_all=True, append_images=[second])
    with pytest.raises(UserError, match=r"cat/x\.gif: contains 2 images; keep one"):
        open_dataset(data)


def test_cmyk_is_shown_in_its_colours(data, tmp_path):
    data.source, data.path = "folder", str(tmp_path)
    data.mean = data.std = (0.5,) * 3
    for name in "ab":
        (tmp_path / "train" / name).mkdir(parents=True)
        image = Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK")
        image.save(tmp_path / "train" / name / "x.jpg", quality=100)
    read, _ = open_dataset(data, splits=("train",)).train.read(np.arange(2))
    np.testing.assert_allclose(read.mean((0, 1, 2)), (200, 30, 60), atol=6)


def test_many_files_are_looked_at_once(data, images, tmp_path, monkeypatch):
    """An index of what files hold: only new and changed ones are opened again."""
    monkeypatch.setattr("cnn.data.sources.file_index._KEPT", 5)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    looked = []
    real = ImageCodec.look_at

    def look(self, path, thorough):
        looked.append(path.name)
        return real(self, path, thorough)

    monkeypatch.setattr(ImageCodec, "look_at", look)
    fingerprint = open_dataset(data).train.fingerprint
    assert gc.isenabled()
    assert len(looked) == 10
    assert open_dataset(data).train.fingerprint == fingerprint
    assert len(looked) == 10
    write(tmp_path / "train" / "cat" / "new.png", 6, 5)
    write(tmp_path / "train" / "cat" / "0.png", 6, 5, seed=77)
    os.utime(tmp_path / "train" / "cat" / "0.png", ns=(1, 1))
    open_dataset(data)
    assert sorted(looked[10:]) == ["0.png", "new.png"]
    data.broken_files = "skip"  # looks at all of each file
    open_dataset(data)
    assert len(looked) == 12 + 11
    (index,) = (tmp_path / "cache").rglob("*.json")
    index.write_text("{")
    assert len(open_dataset(data).train) == 11


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("number", range(3))
def test_evaluation_sees_torchvisions_pixels(interpolation, number):
    """Resize(32) and CenterCrop(28) of Pillow images (benchmarks/golden_augmentations.py)."""
    with np.load(GOLDEN) as golden:
        image, wanted = golden[f"eval/{number}/image"], golden[f"eval/{number}/{interpolation}"]
    form = ImageForm(3, 28, interpolation=interpolation, crop_ratio=0.875)
    np.testing.assert_array_equal(form.decode(encoded(image[..., ::-1], ".png"), "x"), wanted)


def test_a_crop_ratio_keeps_the_centre(data, images):
    data.image_size, data.crop_ratio = 4, 0.8
    shown, _ = open_dataset(data).train.read(np.arange(10))
    stored = {image[1:5, 0:4].tobytes() for image in images.values()}
    assert {image.tobytes() for image in shown} == stored
    data.image_size = 0
    with pytest.raises(UserError, match=r"data\.crop_ratio: needs data\.image_size"):
        open_dataset(data)
