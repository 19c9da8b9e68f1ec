"""Nothing in data, checkpoints or run folders is unpickled, evaluated or imported."""

import ast
import contextlib
import json
import os
import pickle

import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.data import open_dataset
from cnn.evaluation.checkpointed_run import open_run
from cnn.training.loop import train
from cnn.training.run_folder import RunFolder
from tests.conftest import REPOSITORY, tiny_config

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "import_module",
    "exec_module",
    "load_module",
    "system",
    "popen",
    "unsafe_load",
}
# File -> what it may call, and why.
ALLOWED = {
    "config/python_file.py": {"exec_module"},  # config files and plugins, which people give
    "config/registry.py": {"import_module"},  # this package's own modules, by constant names
    "__main__.py": {"import_module"},  # one of this package's own commands
}
SOURCES = sorted((REPOSITORY / "cnn").rglob("*.py"))


def name_of(call: ast.Call) -> str:
    """Returns the last part of what is called: "load" of `np.load(...)`."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def is_method_of_ours(call: ast.Call) -> bool:
    """Whether `compile` is a method, as of `re` or of a lowered program, and not the builtin."""
    return isinstance(call.func, ast.Attribute) and call.func.attr == "compile"


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(REPOSITORY)))
def test_nothing_runs_what_it_reads(file):
    allowed = ALLOWED.get(str(file.relative_to(REPOSITORY / "cnn")), set())
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            assert not MODULES & {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in MODULES
        elif isinstance(node, ast.Call):
            if not is_method_of_ours(node):
                assert name_of(node) not in CALLS - allowed, f"line {node.lineno}"
            keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            assert not keywords.get("allow_pickle"), f"line {node.lineno}"
            assert not keywords.get("shell"), f"line {node.lineno}"


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, file):
        self._file = str(file)

    def __reduce__(self):
        return os.mkdir, (self._file,)


@pytest.fixture
def proof(tmp_path):
    """A folder that exists once hostile code has run."""
    proof = tmp_path / "proof"
    pickle.loads(pickle.dumps(Hostile(proof)))
    assert proof.exists(), "the hostile object does nothing"
    proof.rmdir()
    return proof


def objects(proof, *names):
    """Returns arrays of which every element is a hostile object."""
    return dict.fromkeys(names, np.array([Hostile(proof)] * 4, object))


def test_arrays_of_objects_are_refused_as_data(tmp_path, proof):
    file = tmp_path / "data.npz"
    names = ("train_image", "train_label", "test_image", "test_label")
    np.savez(file, **objects(proof, *names))
    config = tiny_config("data.source=npz", f"data.path={file}")
    with pytest.raises(UserError, match=str(file)):
        open_dataset(config.data)
    assert not proof.exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(tiny_config(), str(folder), quiet=True)
    return folder


def test_predictions_of_objects_are_refused(finished, proof):
    folder = RunFolder(finished)
    kept = folder.predictions_file.read_bytes()
    np.savez(folder.predictions_file, **objects(proof, "prediction", "label", "loss"))
    with pytest.raises(UserError, match=r"test_predictions\.npz: cannot be read"):
        folder.predictions()
    folder.predictions_file.write_bytes(kept)
    assert folder.predictions()["loss"].shape == (37,)
    assert not proof.exists()


@pytest.mark.parametrize("content", ["pickle", "code"])
def test_hostile_files_of_a_checkpoint_are_damage(finished, tmp_path, proof, content):
    code = f"__import__('os').mkdir({str(proof)!r})"
    hostile = pickle.dumps(Hostile(proof)) if content == "pickle" else code.encode()
    step = finished / "checkpoints" / "12"
    for file in [f for f in step.rglob("*") if f.is_file()]:
        kept = file.read_bytes()
        file.write_bytes(hostile)
        # Some files are not read, as the checksums cover what is.
        with contextlib.suppress(UserError):
            open_run(str(finished))
        file.write_bytes(kept)
        assert not proof.exists(), file


@pytest.mark.parametrize("field", ["model.name", "data.source", "model.downsample", "plugins"])
def test_code_in_a_stored_config_is_refused(finished, proof, field):
    folder = RunFolder(finished)
    kept = folder.config_file.read_text()
    record = json.loads(kept)
    code = f"__import__('os').mkdir({str(proof)!r})"
    section, _, name = field.rpartition(".")
    values = record["config"][section] if section else record["config"]
    values[name] = [code] if field == "plugins" else code
    folder.config_file.write_text(json.dumps(record))
    with pytest.raises(UserError):
        open_run(str(finished))
    folder.config_file.write_text(kept)
    assert not proof.exists()
