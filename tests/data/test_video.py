"""Clips: which frames, from whatever they are stored as, the same in all frames of a clip."""

import itertools
import json
import shutil
import struct

import cv2
import jax
import numpy as np
import pytest
from array_record.python import array_record_module
from PIL import Image
from tensorflow_datasets.proto import tf_example_pb2

from cnn.config.errors import UserError
from cnn.data import load_batch, make_eval_feed, make_feed, open_dataset
from cnn.data.clips import Sampling, draw_picks, views
from cnn.data.frames import images_in
from cnn.data.sources.moving import MOTIONS
from cnn.training.steps import make_eval_step
from tests.layers.cases import quick

COUNT, SIDE = 12, 16


def frames(count=COUNT, side=SIDE):
    """Frames of one grey value each, by which they are told apart."""
    return [np.full((side, side, 3), 20 * i, np.uint8) for i in range(count)]


def write(path, images):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        first, *rest = map(Image.fromarray, images)
        first.save(path, save_all=True, append_images=rest)
    elif path.suffix:
        code = {".avi": "MJPG", ".mp4": "mp4v"}[path.suffix]
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, (SIDE, SIDE))
        for image in images:
            writer.write(image)
        writer.release()
    else:
        path.mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(path / f"{i}.png")


@pytest.fixture
def videos(data, tmp_path):
    """A video of each kind in two classes; the config that reads clips of four frames."""
    data.signal, data.source, data.path = "video", "folder", str(tmp_path)
    data.train_split, data.test_split = ".", "."
    data.video.update(frames=4, stride=2)
    for i, kind in enumerate(("", ".gif", ".avi", ".mp4")):
        write(tmp_path / "ab"[i % 2] / f"x{i}{kind}", frames())
    return data


def numbers(clips):
    return np.rint(clips.mean((-3, -2, -1)) / 20).astype(int)


@pytest.mark.parametrize(
    ("sampling", "count", "place", "expected"),
    [
        (Sampling(4, 2, "dense", "loop"), 12, 0.0, [0, 2, 4, 6]),
        (Sampling(4, 2, "dense", "loop"), 12, 0.999, [5, 7, 9, 11]),
        (Sampling(4, 2, "dense", "loop"), 7, 0.999, [0, 2, 4, 6]),
        (Sampling(4, 2, "dense", "loop"), 5, 0.5, [0, 2, 4, 1]),
        (Sampling(4, 2, "dense", "hold"), 5, 0.5, [0, 2, 4, 4]),
        (Sampling(4, 1, "uniform", "loop"), 12, 0.5, [1, 4, 7, 10]),
        (Sampling(4, 1, "uniform", "loop"), 12, 0.999, [2, 5, 8, 11]),
        (Sampling(4, 1, "uniform", "loop"), 2, 0.5, [0, 0, 1, 1]),
        (Sampling(1, 9, "dense", "loop"), 1, 0.999, [0]),
    ],
)
def test_which_frames_make_a_clip(sampling, count, place, expected):
    assert sampling.choose(count, np.full(sampling.frames, place)).tolist() == expected


@pytest.mark.parametrize("sampling", ["dense", "uniform"])
def test_every_kind_of_video_gives_the_frames_asked_for(videos, sampling):
    videos.video.update(sampling=sampling, stride=2 if sampling == "dense" else 1)
    dataset = open_dataset(videos)
    assert dataset.train.shape == dataset.input_shape == (4, SIDE, SIDE, 3)
    clips, labels = dataset.train.read(np.arange(4))
    assert sorted(labels) == [0, 0, 1, 1]
    expected = [3, 5, 7, 9] if sampling == "dense" else [1, 4, 7, 10]
    assert numbers(clips).tolist() == [expected] * 4


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    write(tmp_path / "x", frames())
    assert [int(p.stem) for p in images_in(tmp_path / "x")] == list(range(COUNT))


def test_size_and_channels(videos):
    videos.image_size, videos.channels = 8, 1
    assert open_dataset(videos).train.read(np.arange(2))[0].shape == (2, 4, 8, 8, 1)


def test_random_starts_depend_on_seed_and_step_alone(videos, shardings):
    videos.placement, videos.validation = "stream", "0%"
    dataset = open_dataset(videos)
    sharding, whole = shardings(1)
    crops = dataset.signal.draw_crops(_augment(), dataset.train.varying)

    def batches(workers, start):
        videos.workers = workers
        feed = make_feed(dataset.train, videos, sharding, whole, 4, 3, crops, 5)
        return [numbers(np.asarray(b["input"])) for b in feed.batches(start, 4)]

    one, other = batches(1, 0), batches(3, 2)
    np.testing.assert_array_equal(one[2:], other)
    first = np.stack(one)[..., 0]
    assert len(np.unique(first)) > 2
    assert first.max() <= COUNT - 7
    assert (np.diff(np.stack(one)) == 2).all()
    a, b = (draw_picks(0, step, 2, 4, True, ()) for step in (0, 1))
    assert (a[0].places != b[0].places).all()
    videos.video.random = False
    assert open_dataset(videos).signal.draw_crops(_augment(), True) is None


def _augment(**fields):
    from configs.base import get_config

    augment = get_config().augment
    augment.update(fields)
    return augment


def test_views_are_spread_and_their_logits_averaged(videos, shardings):
    videos.validation = "0%"
    dataset = open_dataset(videos)
    sharding, _ = shardings(1)
    feed = make_eval_feed(dataset.train, videos, sharding, 3, dataset.signal.views(3))

    class Model:
        @staticmethod
        def apply(variables, x, train):
            mean = x.mean((1, 2, 3, 4))
            return jax.numpy.stack([mean, 2 * mean**2], -1)

    step = quick(make_eval_step(Model, load_batch, lambda x: x / 255))
    found, seen = [], 0
    for batch in feed.batches():
        assert batch["views"].shape == (3, 3, 4, SIDE, SIDE, 3)
        starts = numbers(np.asarray(batch["views"]))[..., 0]
        assert (starts == [1, 3, 5]).all()
        outcome = step({}, (), batch)
        keep = np.asarray(batch["mask"]).astype(bool)
        seen += keep.sum()
        mean = np.asarray(batch["views"], np.float64).mean((2, 3, 4, 5)) / 255
        logits = np.stack([mean, 2 * mean**2], -1).mean(1)
        label = np.asarray(batch["label"])
        loss = np.log(np.exp(logits).sum(-1)) - logits[np.arange(3), label]
        np.testing.assert_allclose(outcome["loss"], loss, rtol=1e-4)
        found.append(loss[keep])
    assert seen == len(dataset.train) == 4


def test_all_frames_of_a_clip_are_changed_alike(videos):
    signal = open_dataset(videos).signal
    augment = _augment(
        flip=True,
        pad=2,
        cutout=4,
        color_ops=2,
        random_resized_crop=(0.3, 1.0),
        mixup=0.3,
        extra="randaugment, random_erasing(probability=1.0)",
    )
    signal.check(augment)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 1, SIDE, SIDE, 3), dtype=np.uint8)
    clips = np.repeat(images, 4, axis=1)
    apply = signal.make_augment(augment, 2, cropped=False)
    changed, targets = quick(apply)(jax.random.key(0), clips, np.array([0, 1, 0, 1]))
    assert changed.shape == clips.shape
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    changed = np.asarray(changed)
    np.testing.assert_allclose(changed, np.repeat(changed[:, :1], 4, axis=1), atol=1e-5)
    assert np.abs(changed[0] - np.asarray(signal.prepare(clips))[0]).max() > 0.1


def test_without_augmentation_training_sees_what_evaluation_sees(videos):
    signal = open_dataset(videos).signal
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, SIDE, SIDE, 3), dtype=np.uint8)
    apply = signal.make_augment(_augment(), 2, cropped=False)
    seen, _ = apply(jax.random.key(0), clips, np.array([0, 1]))
    np.testing.assert_allclose(seen, signal.prepare(clips), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.mp4", b"no video", r"bad\.mp4: not a video that OpenCV can decode \(broken, or an"),
        ("bad.gif", b"GIF89a", r"bad\.gif: not a readable GIF"),
        ("bad.txt", b"text", r"bad\.txt: neither a folder of frames nor named \.gif, \.mp4"),
        ("bad", None, r"a/bad: contains no frames"),
        ("bad/0.png", b"no image", r"bad/0\.png: not a readable image"),
    ],
)
def test_bad_videos_are_named(videos, tmp_path, name, content, message):
    path = tmp_path / "a" / name
    path.parent.mkdir(exist_ok=True)
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        open_dataset(videos)
    assert "\n" not in str(error.value)
    videos.broken_files = "skip"
    dataset = open_dataset(videos)
    assert (len(dataset.train), dataset.skipped["count"]) == (4, 1)


@pytest.mark.parametrize("name", ["x2.avi", "x1.gif"])
def test_a_video_that_ends_early_is_refused_or_skipped(videos, tmp_path, name):
    path = next(tmp_path.rglob(name))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UserError, match=rf"{name}: .*broken_files='skip'"):
        open_dataset(videos)
    videos.broken_files = "skip"
    dataset = open_dataset(videos)
    assert dataset.skipped["count"] == 1
    dataset.train.read(np.arange(len(dataset.train)))


def test_a_later_frame_that_is_broken_is_skipped(videos, tmp_path):
    (tmp_path / "a" / "x0" / "11.png").write_bytes(b"no image")
    videos.broken_files = "skip"
    dataset = open_dataset(videos)
    assert dataset.skipped["files"][0].endswith("x0/11.png: not a readable image")
    assert len(dataset.train) == 3


def test_a_video_that_shrinks_later_is_named_when_it_is_read(videos, tmp_path):
    train = open_dataset(videos).train
    whole = (tmp_path / "a" / "x2.avi").read_bytes()
    (tmp_path / "a" / "x2.avi").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"x2\.avi: (frame \d+ of 12|not a video)"):
        train.read(np.arange(4))


@pytest.mark.parametrize("seconds", [0.0, 63.1])
def test_frames_are_counted_where_the_header_does_not_know(videos, tmp_path, seconds):
    """As in WebM by browsers (no duration) and with variable rates (a rate of 1,000)."""
    path = tmp_path / "a" / "x.mkv"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (SIDE, SIDE))
    for image in frames():
        writer.write(image)
    writer.release()
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88")  # Duration, a float of 8 bytes, in milliseconds
    changed = content[: at + 3] + struct.pack(">d", 1000 * seconds) + content[at + 11 :]
    path.write_bytes(changed)
    capture = cv2.VideoCapture(str(path))
    assert abs(capture.get(cv2.CAP_PROP_FRAME_COUNT) - COUNT) > 5
    clips, _ = open_dataset(videos).train.read(np.arange(5))
    assert numbers(clips).tolist() == [[3, 5, 7, 9]] * 5


def test_hidden_folders_and_names_with_odd_digits(videos, tmp_path):
    write(tmp_path / "a" / ".ipynb_checkpoints" / "y", frames())
    write(tmp_path / "a" / "@eaDir" / "y.gif", frames())
    for path in (tmp_path / "a" / "x0").iterdir():
        path.rename(path.with_name(f"m²_{path.name}"))
    dataset = open_dataset(videos)
    assert len(dataset.train) == 4
    assert numbers(dataset.train.read(np.arange(4))[0]).tolist() == [[3, 5, 7, 9]] * 4


def test_short_videos_are_refused_on_demand(videos):
    videos.video.update(frames=9, short="refuse")
    with pytest.raises(UserError, match=r"has 12 frames and a clip needs 17; set data\.video\.sh"):
        open_dataset(videos)
    videos.video.short = "hold"
    clips, _ = open_dataset(videos).train.read(np.arange(1))
    assert numbers(clips)[0].tolist() == [0, 2, 4, 6, 8, 10, 11, 11, 11]


def test_videos_of_differing_sizes_need_a_size(videos, tmp_path):
    write(tmp_path / "a" / "small", frames(side=8))
    with pytest.raises(UserError, match=r"data\.image_size: videos in .* differ in size"):
        open_dataset(videos)
    videos.image_size = 8
    assert open_dataset(videos).train.read(np.arange(5))[0].shape == (5, 4, 8, 8, 3)


def test_tfds_videos_are_read_without_tensorflow(data, repository, tmp_path):
    source = repository / "data" / "fashion_mnist_10k" / "1.0.0"
    folder = tmp_path / "clips" / "1.0.0"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*array_record*"))
    features = json.loads((folder / "features.json").read_text())
    kinds = features["featuresDict"]["features"]
    del kinds["image"]
    kinds["video"] = {
        "pythonClassName": "tensorflow_datasets.core.features.video_feature.Video",
        "video": {
            "shape": {"dimensions": ["-1", "16", "16", "3"]},
            "dtype": "uint8",
            "encodingFormat": "png",
        },
    }
    (folder / "features.json").write_text(json.dumps(features))
    info = (folder / "dataset_info.json").read_text()
    info = info.replace('"image"', '"video"').replace("fashion_mnist_10k", "clips")
    info = info.replace('"10000"', '"2"').replace('"2000"', '"2"')
    (folder / "dataset_info.json").write_text(info)
    for split in ("train", "test"):
        path = folder / f"clips-{split}.array_record-00000-of-00001"
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        for label in range(2):
            example = tf_example_pb2.Example()
            found = example.features.feature
            encoded = [cv2.imencode(".png", image)[1].tobytes() for image in frames()]
            found["video"].bytes_list.value.extend(encoded)
            found["label"].int64_list.value.append(label)
            writer.write(example.SerializeToString())
        writer.close()
    data.update(signal="video", name="clips", data_dir=str(tmp_path), train_split="train")
    data.video.update(frames=4)
    clips, labels = open_dataset(data).train.read(np.arange(2))
    assert numbers(clips).tolist() == [[4, 5, 6, 7]] * 2
    assert labels.tolist() == [0, 1]


# The source of moving images.


@pytest.fixture
def moving(data):
    data.update(signal="video", source="moving", name="fashion_mnist_10k", data_dir="data")
    data.update(image_size=16, train_split="train[:64]")
    data.video.frames = 16
    return data


def test_a_clip_shows_each_place_of_the_ring_once_whatever_its_class(moving):
    split = open_dataset(moving, splits=("train",)).train
    clips, labels = split.read(np.arange(64))
    assert clips.shape == (64, 16, 16, 16, 1)
    assert set(labels) == {0, 1, 2, 3}
    for clip, label in zip(clips, labels, strict=True):
        step = tuple(MOTIONS.values())[label]
        for before, after in itertools.pairwise(clip):
            np.testing.assert_array_equal(np.roll(before, step, axis=1), after)
        found = sorted(frame.tobytes() for frame in clip)
        ring = sorted(np.roll(clip[0], i, axis=1).tobytes() for i in range(16))
        assert found == ring


def test_moving_images_are_the_same_every_time(moving):
    one, other = (open_dataset(moving, splits=("train",)).train for _ in range(2))
    np.testing.assert_array_equal(one.read(np.array([7]))[0], other.read(np.array([7, 8]))[0][:1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"signal": "image"}, r"data\.source: moving makes clips; set data\.signal=video"),
        ({"image_size": 20}, r"data\.video\.frames: 16 frames of 20 pixels; moving needs"),
    ],
)
def test_rings_that_cannot_be_are_refused(moving, fields, message):
    moving.update(fields)
    with pytest.raises(UserError, match=message):
        open_dataset(moving, splits=("train",))


def test_clips_that_are_all_there_is_have_one_view(moving, shardings):
    dataset = open_dataset(moving, splits=("train",))
    assert views(1, 16).stacked is False
    with pytest.raises(UserError, match=r"evaluation\.views: the examples of .* one view"):
        make_eval_feed(dataset.train, moving, shardings(1)[0], 4, dataset.signal.views(2))
