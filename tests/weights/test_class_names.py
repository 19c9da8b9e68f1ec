"""Names and order of classes: ImageNet's by WNID, by name, by number, and what is refused."""

import json

import cv2
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.data.prepare.builders.imagenet import imagenet_classes
from cnn.foreign.layouts import LAYOUTS
from cnn.weights.class_names import checked_names, class_names
from configs import base

WNIDS = imagenet_classes()
LIBRARIES = {"torchvision": "resnet50", "timm": "resnet50", "keras": "resnet50_v1"}
TORCHVISION = LAYOUTS["torchvision"].counterpart("resnet50").fields


def written(path, names):
    text = names if isinstance(names, str) else "\n".join(names)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("layout", LIBRARIES)
def test_imagenets_outputs_come_in_the_order_of_wnids(layout):
    """The first and last classes of torchvision's categories and Keras' imagenet_class_index."""
    fields = LAYOUTS[layout].counterpart(LIBRARIES[layout]).fields
    names = class_names(fields, "folder", 1000, None)
    assert (names[0], names[1], names[281], names[999]) == (
        *("n01440764", "n01443537", "n02123045", "n15075141"),
    )
    assert list(names) == sorted(names)
    assert class_names(fields, "synthetic", 1000, None) == ()
    assert class_names(fields, "folder", 10, None) == ()


def test_a_file_names_the_outputs(tmp_path):
    words = [f"class {(7 * i) % 1000}" for i in range(1000)]
    file = written(tmp_path / "names.txt", words)
    assert class_names(TORCHVISION, "folder", 1000, file) == tuple(words)
    of_keras = {str(i): [wnid, f"name {i}"] for i, wnid in enumerate(WNIDS)}
    file = written(tmp_path / "imagenet_class_index.json", json.dumps(of_keras))
    assert class_names(TORCHVISION, "folder", 1000, file) == WNIDS
    file = written(tmp_path / "list.json", '["b", "a"]')
    assert class_names({}, "folder", 2, file) == ("b", "a")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            sorted(f"class {i}" for i in range(1000)),
            r"alphabetical order, but these weights .*tench",
        ),
        ((*WNIDS[1:], WNIDS[0]), "n01443537 for output 0, which is n01440764"),
        (WNIDS[:999], "has 999 names, but the network 1000 outputs"),
        ((*WNIDS[:999], WNIDS[0]), "has 'n01440764' twice"),
        ('{"0": 3}', "holds neither a name in each line, nor a JSON list"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, names, message):
    file = written(tmp_path / "names.txt", names)
    with pytest.raises(UserError, match=message):
        class_names(TORCHVISION, "folder", 1000, file)
    with pytest.raises(UserError, match="there is no file"):
        class_names(TORCHVISION, "folder", 1000, str(tmp_path / "none"))


def labels(root, folders):
    """Returns the labels of one image in each folder, for a network of ImageNet's classes."""
    for name in folders:
        (root / "test" / name).mkdir(parents=True)
        cv2.imwrite(str(root / "test" / name / "one.png"), np.zeros((4, 4, 3), np.uint8))
    data = base.get_config().data.unlock()
    data.update(source="folder", path=str(root), mean=(0.5,) * 3, std=(0.5,) * 3)
    split = open_dataset(data, splits=("test",), class_names=WNIDS).test
    assert split.num_classes == 1000
    found = dict(zip(split.names, split.read(np.arange(len(split)))[1].tolist(), strict=True))
    return {name.split("/")[0]: label for name, label in found.items()}


def test_folders_by_wnid_are_mapped_to_the_outputs(tmp_path):
    """Some of the thousand, as in ImageNet-100; alone they would be classes 0 to 2."""
    found = labels(tmp_path, ("n02123045", "n01443537", "n15075141"))
    assert found == {"n01443537": 1, "n02123045": 281, "n15075141": 999}


def test_folders_by_number_are_places_of_the_outputs(tmp_path):
    """By name they would come as 0, 1, 10, 2, 9."""
    assert labels(tmp_path, ("0", "1", "2", "9", "10")) == {str(i): i for i in (0, 1, 2, 9, 10)}


def test_folders_by_name_are_refused(tmp_path):
    """In alphabetical order, which is another: the tench is the first by WNID only."""
    with pytest.raises(UserError, match=r"'goldfish', 'tench', but the network was trained on"):
        labels(tmp_path, ("tench", "goldfish"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b"), "the file has 2 names, but the network 3 outputs"),
        (("a", "b", "a"), "'a' twice"),
    ],
)
def test_names_that_a_file_records_are_one_for_each_output(names, message):
    with pytest.raises(UserError, match=message):
        checked_names(names, 3, "the file")
