import json
import os

import cv2
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import ArraySplit, identity_differences, open_dataset
from cnn.data.signals.image import channel_statistics
from cnn.data.sources import SOURCES
from cnn.data.sources.source import SliceReader


@pytest.fixture
def opened(data, monkeypatch):
    """Makes the synthetic source tell which of its splits are opened, in a list."""
    names = []
    real = SliceReader.split

    def split(self, expression, field):
        names.append(expression)
        return real(self, expression, field)

    monkeypatch.setattr(SliceReader, "split", split)
    data.source = "synthetic"
    return names


def test_the_test_split_is_opened_when_it_is_asked_for(data, opened):
    data.test_split = "test[:50]"
    dataset = open_dataset(data)
    dataset.train.read(np.arange(5))
    assert opened == ["train"]
    assert len(dataset.test) == 50
    assert dataset.test is dataset.test
    assert opened == ["train", "test[:50]"]


def test_evaluation_leaves_train_alone(data, opened):
    data.mean, data.std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    dataset = open_dataset(data, splits=("test",))
    assert set(opened) == {"test"}
    assert dataset.train is None
    assert dataset.validation is None
    assert (dataset.mean, dataset.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (dataset.num_classes, dataset.input_shape) == (10, (32, 32, 3))
    data.std = ()
    with pytest.raises(UserError, match=r"data\.mean, data\.std: set both"):
        open_dataset(data, splits=("test",))


def test_a_wrong_test_split_is_refused_at_once(data, opened):
    data.test_split = "tset"
    with pytest.raises(UserError, match=r"data\.test_split: no split 'tset'"):
        open_dataset(data)


def test_without_test_there_is_none(data, opened):
    assert open_dataset(data, splits=("train",)).test is None


@pytest.fixture
def numbered(data, monkeypatch):
    """A source of 200 images whose labels number them."""
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))
    images = np.random.default_rng(0).integers(0, 256, (200, 2, 3, 3), dtype=np.uint8)
    names = tuple(map(str, range(200)))
    split = ArraySplit(images, np.arange(200), names, "train")
    source = type(SOURCES["npz"])(
        open=lambda data: SliceReader("memory", lambda name: split, ("train", "test")),
        reads=frozenset(),
    )
    SOURCES.add("numbered", source)
    data.source = "numbered"
    return images


def labels(split):
    return split.read(np.arange(len(split)))[1]


@pytest.mark.parametrize(
    ("validation", "size"), [("10%", 20), ("33 examples", 33), ("0.4%", 1), ("199 examples", 199)]
)
def test_validation_is_carved_out_of_train(data, numbered, validation, size):
    data.validation = validation
    dataset = open_dataset(data)
    assert len(dataset.validation) == size
    together = np.concatenate([labels(dataset.train), labels(dataset.validation)])
    np.testing.assert_array_equal(np.sort(together), np.arange(200))


def test_validation_parts_are_fixed_and_nested(data, numbered):
    parts = []
    for size in (20, 20, 50):
        data.validation = f"{size} examples"
        parts.append(set(labels(open_dataset(data).validation).tolist()))
    assert parts[0] == parts[1] < parts[2]
    assert max(parts[2]) - min(parts[2]) > 100  # not just an end of a set sorted by class


def test_no_validation(data, numbered):
    dataset = open_dataset(data)
    assert dataset.validation is None
    assert len(dataset.train) == 200


@pytest.mark.parametrize("validation", ["100%", "200 examples", "300 examples"])
def test_something_has_to_be_left(data, numbered, validation):
    data.validation = validation
    with pytest.raises(UserError, match=rf"data\.validation: '{validation}' .* leave some"):
        open_dataset(data)


def test_statistics_are_those_of_the_training_part(data, numbered):
    data.validation = "25%"
    dataset = open_dataset(data)
    pixels = numbered[labels(dataset.train)].astype(np.float64) / 255
    np.testing.assert_allclose(dataset.mean, pixels.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(dataset.std, pixels.std(axis=(0, 1, 2)), rtol=1e-12)
    data.mean = (0.1, 0.2, 0.3)
    assert open_dataset(data).mean == (0.1, 0.2, 0.3)
    assert open_dataset(data).std == dataset.std


def test_statistics_of_a_large_split_are_of_evenly_spaced_examples():
    images = (np.arange(25_000) // 200).astype(np.uint8)[:, None, None]
    mean, std = channel_statistics(ArraySplit(images, np.zeros(25_000, np.int32), ("a",)))
    chosen = images[np.arange(10_000) * 25_000 // 10_000] / 255
    np.testing.assert_allclose([mean[0], std[0]], [chosen.mean(), chosen.std()], rtol=1e-12)


def test_a_constant_channel_is_not_divided_by_zero():
    split = ArraySplit(np.full((3, 2, 2), 51, np.uint8), np.zeros(3, np.int32), ("a",))
    np.testing.assert_allclose(channel_statistics(split), ((0.2,), (1.0,)))


@pytest.mark.parametrize(
    ("field", "value"), [("mean", (0.5,)), ("std", (0.5, 0.5)), ("std", (0.5, 0.0, 0.5))]
)
def test_statistics_that_do_not_fit(data, numbered, field, value):
    data[field] = value
    with pytest.raises(UserError, match=rf"data\.{field}: "):
        open_dataset(data)


def folders(root, **counts):
    """Class folders of 4 x 3 images, so many of each class, of one colour per class and image."""
    for colour, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = np.full((4, 3, 3), 40 * colour + i, np.uint8)
            assert cv2.imwrite(str(root / name / f"{i}.png"), image)


@pytest.fixture
def trained(data, tmp_path):
    """A data set of the classes a, b and c in train and test."""
    data.source, data.path = "folder", str(tmp_path)
    data.mean = data.std = (0.5,) * 3
    folders(tmp_path / "train", a=4, b=4, c=4)
    folders(tmp_path / "test", a=2, b=2, c=2)
    return data


def test_labels_follow_the_names_of_the_training(trained, tmp_path):
    names = ("c", "a", "b")
    dataset = open_dataset(trained, splits=("test",), class_names=names)
    images, found = dataset.test.read(np.arange(6))
    assert dataset.class_names == names
    assert [names[label] for label in found] == ["abc"[i.max() // 40] for i in images]


def test_a_set_with_fewer_classes_is_evaluated_by_name(trained, tmp_path):
    trained.path = str(tmp_path / "other")
    folders(tmp_path / "other" / "test", b=3, c=3)
    test = open_dataset(trained, splits=("test",), class_names=("a", "b", "c")).test
    assert np.bincount(test.read(np.arange(6))[1]).tolist() == [0, 3, 3]


def test_other_classes_are_refused_with_both_lists(trained, tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "b").rename(tmp_path / split / "bird")
    with pytest.raises(
        UserError,
        match=r"the classes 'a', 'bird', 'c', but the .* trained on 'a', 'b', 'c': 'bird'",
    ):
        _ = open_dataset(trained, splits=("test",), class_names=("a", "b", "c")).test


def test_what_became_of_data_is_reported(trained, tmp_path):
    before = open_dataset(trained).identity
    assert json.loads(json.dumps(before)) == before
    assert identity_differences(before, open_dataset(trained).identity) == []
    (tmp_path / "train" / "a" / "0.png").unlink()
    assert identity_differences(before, open_dataset(trained).identity) == [
        "examples of train: 12 -> 11"
    ]
    folders(tmp_path / "train", d=1)
    (tmp_path / "train" / "d" / "0.png").rename(tmp_path / "train" / "a" / "new.png")
    (tmp_path / "train" / "d").rmdir()
    assert identity_differences(before, open_dataset(trained).identity) == [
        "content or order of the 12 examples of train"
    ]
    (tmp_path / "train" / "c").rename(tmp_path / "train" / "z")
    (tmp_path / "test" / "c").rename(tmp_path / "test" / "z")
    assert identity_differences(before, open_dataset(trained).identity) == [
        "classes: 'a', 'b', 'c' -> 'a', 'b', 'z'"
    ]


def test_a_ready_made_validation_split(trained, tmp_path):
    folders(tmp_path / "val", a=1, b=2, c=1)
    trained.validation_split = "val"
    dataset = open_dataset(trained)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (12, 4, 6)
    only = open_dataset(trained, splits=("validation",))
    assert (only.train, len(only.validation)) == (None, 4)
    trained.validation = "10%"
    with pytest.raises(UserError, match=r"data\.validation: '10%' would be held out .* only one"):
        open_dataset(trained)
    trained.validation, trained.validation_split = "0%", "vla"
    with pytest.raises(UserError, match=r"data\.validation_split: .*/vla is not a folder"):
        open_dataset(trained)


def test_one_class_is_refused_with_what_was_seen(data, tmp_path):
    data.source, data.path = "folder", str(tmp_path)
    folders(tmp_path / "train" / "images", a=2, b=2)
    folders(tmp_path / "test" / "images", a=2, b=2)
    with pytest.raises(UserError, match=r"contains only one folder, 'images' \(with a, b in"):
        open_dataset(data)


@pytest.mark.parametrize("other", ["b", "train"])
def test_all_that_class_folders_without_splits_need_is_reported_at_once(data, tmp_path, other):
    data.source, data.path = "folder", str(tmp_path)
    folders(tmp_path, **{"a": 2, other: 2})
    assert cv2.imwrite(str(tmp_path / "a" / "x.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(UserError) as raised:
        open_dataset(data)
    for part in ("data.train_split='.[:80%]'", "data.test_split=", "data.channels: ", "image_size"):
        assert part in str(raised.value)
    data.train_split, data.test_split = ".[:80%]", ".[80%:]"
    data.channels, data.image_size = 1, 4
    assert len(open_dataset(data).train) == 4


def test_names_of_classes_that_cannot_be_printed(data, tmp_path):
    data.source, data.path = "folder", str(tmp_path)
    folders(tmp_path / "train", a=1)
    os.mkdir(os.fsencode(tmp_path / "train") + b"/caf\xe9")
    with pytest.raises(UserError, match=r"train/caf\\xe9: class names must be UTF-8"):
        open_dataset(data)


def test_names_of_files_that_are_not_utf8_are_read(trained, tmp_path):
    first = os.fsencode(tmp_path / "train" / "a" / "0.png")
    os.rename(first, first.replace(b"0.png", b"\xe9.png"))
    train = open_dataset(trained, splits=("train",)).train
    assert len(train.read(np.arange(12))[0]) == 12
    with open(first.replace(b"0.png", b"\xe9.png"), "wb") as file:
        file.write(b"no image")
    with pytest.raises(UserError, match=r"a/\\xe9\.png: not an image of a known format"):
        open_dataset(trained)
