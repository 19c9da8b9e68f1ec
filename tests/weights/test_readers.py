"""Files of other libraries, read as they were written; hostile, cut and foreign ones refused."""

import io
import os
import pickle
import pickletools
import re
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from benchmarks.golden_weights import FOLDER, fan_in, values
from cnn.config.errors import UserError
from cnn.foreign.readers import read

TINY = {
    "0.weight": (4, 3, 3, 3),
    "0.bias": (4,),
    "1.weight": (4,),
    "1.bias": (4,),
    "1.running_mean": (4,),
    "1.running_var": (4,),
}
TINY_KERAS = {
    "one/kernel": (3, 3, 3, 4),
    "one/bias": (4,),
    "two/gamma": (4,),
    "two/beta": (4,),
    "two/moving_mean": (4,),
    "two/moving_variance": (4,),
    "three/kernel": (3, 3, 4, 1),
    "three/bias": (4,),
}
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)


def check_values(tensors, expected, prefix=""):
    for name, shape in expected.items():
        np.testing.assert_array_equal(tensors[prefix + name], values(name, shape), err_msg=name)


@pytest.mark.parametrize(("file", "prefix"), [("tiny.pth", ""), ("tiny_legacy.th", "module.")])
def test_pytorch(file, prefix):
    found = read(FOLDER / file)
    assert set(found.tensors) == {prefix + n for n in (*TINY, "1.num_batches_tracked")}
    check_values(found.tensors, TINY, prefix)
    if prefix:
        assert found.notes == ("taken from its entry 'state_dict'; left aside: epoch",)


def test_pytorch_views_of_storages():
    tensors = read(FOLDER / "views.pt").tensors
    whole = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(tensors["transposed"], whole.transpose(2, 0, 1))
    np.testing.assert_array_equal(tensors["sliced"], whole[1, :, 1:3])
    np.testing.assert_array_equal(tensors["parameter"], whole)
    assert tensors["empty"].shape == (0, 3, 4)
    assert tensors["bfloat16"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(tensors["bfloat16"].astype(np.float32), whole)


@pytest.mark.parametrize("file", ["tiny.keras", "tiny.h5", "tiny.weights.h5"])
def test_keras(file):
    tensors = read(FOLDER / file).tensors
    assert set(tensors) == set(TINY_KERAS)
    for name, shape in TINY_KERAS.items():
        wanted = values(name, shape, fan_in(shape, keras=True))
        np.testing.assert_array_equal(tensors[name], wanted, err_msg=name)


def test_safetensors_and_npz(tmp_path):
    arrays = {"a.b": np.arange(6.0).reshape(2, 3), "c": np.ones(2, ml_dtypes.bfloat16)}
    safetensors.numpy.save_file(arrays, tmp_path / "weights.bin")
    np.savez(tmp_path / "weights.npz", **{"a.b": arrays["a.b"]})
    found = read(tmp_path / "weights.bin").tensors
    assert {name: (t.dtype, t.shape) for name, t in found.items()} == {
        name: (t.dtype, t.shape) for name, t in arrays.items()
    }
    np.testing.assert_array_equal(read(tmp_path / "weights.npz").tensors["a.b"], arrays["a.b"])


class Call:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def marker(tmp_path):
    return tmp_path / "it-was-executed"


HOSTILE = {
    "system": lambda mark: pickle.dumps(Call(os.system, f"touch {mark}"), 2),
    "eval": lambda mark: pickle.dumps({"a": Call(eval, f"open({str(mark)!r}, 'w')")}, 4),
    "nested": lambda mark: pickle.dumps(
        {"state_dict": {"w": Call(exec, f"open({str(mark)!r}, 'w')")}}, 3
    ),
    "inst": lambda mark: b"\x80\x02(X\x04\x00\x00\x00trueios\nsystem\n.",
    "obj": lambda mark: b"\x80\x02(cos\nsystem\nX\x04\x00\x00\x00trueo.",
    "newobj": lambda mark: b"\x80\x02csubprocess\nPopen\nX\x04\x00\x00\x00true\x85\x81.",
    "module": lambda mark: b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00x\x85R.",
}


@pytest.mark.parametrize("container", ["zip", "legacy"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_would_execute_something_is_refused(tmp_path, name, container):
    content = HOSTILE[name](marker(tmp_path))
    path = tmp_path / "weights.pth"
    if container == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
    else:
        path.write_bytes(MAGIC + content + pickle.dumps([], 2))
    called = [
        str(argument).replace(" ", ".")
        for opcode, argument, _ in pickletools.genops(content)
        if opcode.name in ("GLOBAL", "INST")
    ]
    with pytest.raises(UserError, match=re.escape("is refused: it wants to call")) as caught:
        read(path)
    assert all(c.replace("__builtin__", "") in str(caught.value) for c in called)
    assert "\n" not in str(caught.value)
    assert not marker(tmp_path).exists()


def test_a_whole_module_is_refused_with_what_to_do():
    with pytest.raises(UserError, match=r"torch.nn.modules.container.Sequential.*state_dict\(\)"):
        read(FOLDER / "module.pt")


def test_torchscript_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", pickle.dumps({}, 2))
        archive.writestr("net/code/__torch__.py", "import os")
    with pytest.raises(UserError, match="TorchScript has code"):
        read(tmp_path / "net.pt")


def with_pickle(path, tensor):
    """Copies tiny.pth with another pickle, over the same storages."""
    with zipfile.ZipFile(FOLDER / "tiny.pth") as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            replaced = entry.filename.endswith("data.pkl")
            target.writestr(entry.filename, tensor if replaced else source.read(entry))


def rebuilt(offset, shape, strides):
    """A pickle of {"w": a view of storage 1, of 4 elements}."""
    out = (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
    )
    out += b"ctorch\nFloatStorage\nX\x01\x00\x00\x001X\x03\x00\x00\x00cpuK\x04tQ"
    for value in (offset, shape, strides):
        out += pickle.dumps(value, 2)[2:-1].replace(b"q\x00", b"")
    return out + b"\x89}tRs."


@pytest.mark.parametrize(
    "view", [(1, (4,), (1,)), (0, (10**6, 10**6), (0, 0)), (0, (2, 3), (3, 1)), (-1, (2,), (1,))]
)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, view):
    with_pickle(tmp_path / "good.pth", rebuilt(0, (2, 2), (2, 1)))
    assert read(tmp_path / "good.pth").tensors["w"].shape == (2, 2)
    with_pickle(tmp_path / "bad.pth", rebuilt(*view))
    with pytest.raises(UserError, match=r"beyond the 4 elements|is not a size"):
        read(tmp_path / "bad.pth")


@pytest.mark.parametrize("file", ["tiny.pth", "tiny_legacy.th", "tiny.h5", "tiny.keras"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_a_cut_file_is_one_sentence(tmp_path, file, share):
    content = (FOLDER / file).read_bytes()
    path = tmp_path / file
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"cut|damaged") as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_changed_byte_of_a_zip_is_noticed(tmp_path):
    content = bytearray((FOLDER / "tiny.pth").read_bytes())
    with zipfile.ZipFile(FOLDER / "tiny.pth") as archive:
        entry = next(i for i in archive.infolist() if i.filename.endswith("data/0"))
    content[entry.header_offset + 200] ^= 1
    (tmp_path / "flipped.pth").write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read(tmp_path / "flipped.pth")


def foreign():
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("readme.txt", "none")
    return {
        "text": (b"not weights", "is not a weights file of a known format"),
        "empty": (b"", "is not a weights file"),
        "zip": (whole.getvalue(), "is a zip archive, but not a weights file"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        "pickle": (pickle.dumps({"w": [1.0]}, 2), "not one of torch.save"),
        "no tensors": (
            MAGIC + pickle.dumps({"epoch": 3}, 2) + pickle.dumps([], 2),
            "contains no tensors",
        ),
        "safetensors": (struct.pack("<Q", 100) + b"{" + b"x" * 30, "damaged or truncated"),
    }


@pytest.mark.parametrize("name", foreign())
def test_foreign_files(tmp_path, name):
    content, output = foreign()[name]
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UserError, match=output):
        read(tmp_path / "file")


def test_a_missing_file_and_arrays_of_objects(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        read(tmp_path / "none.pth")
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    with pytest.raises(UserError, match="allow_pickle"):
        read(tmp_path / "objects.npz")


def test_a_container_that_holds_itself_ends(tmp_path):
    loop = {"epoch": 1}
    loop["self"] = loop
    path = tmp_path / "loop.pth"
    path.write_bytes(MAGIC + pickle.dumps(loop, 2) + pickle.dumps([], 2))
    with pytest.raises(UserError, match="contains no tensors"):
        read(path)
