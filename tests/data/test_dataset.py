import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import ArraySplit, open_dataset
from cnn.data.signals.image import measure
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
    with pytest.raises(UserError, match=r"data\.mean, data\.std: give both"):
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
    mean, std = measure(ArraySplit(images, np.zeros(25_000, np.int32), ("a",)))
    chosen = images[np.arange(10_000) * 25_000 // 10_000] / 255
    np.testing.assert_allclose([mean[0], std[0]], [chosen.mean(), chosen.std()], rtol=1e-12)


def test_a_constant_channel_is_not_divided_by_zero():
    split = ArraySplit(np.full((3, 2, 2), 51, np.uint8), np.zeros(3, np.int32), ("a",))
    np.testing.assert_allclose(measure(split), ((0.2,), (1.0,)))


@pytest.mark.parametrize(
    ("field", "value"), [("mean", (0.5,)), ("std", (0.5, 0.5)), ("std", (0.5, 0.0, 0.5))]
)
def test_statistics_that_do_not_fit(data, numbered, field, value):
    data[field] = value
    with pytest.raises(UserError, match=rf"data\.{field}: "):
        open_dataset(data)
