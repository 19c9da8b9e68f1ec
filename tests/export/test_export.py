"""Exported programs run with jax alone and give the logits of the run."""

import json
import subprocess
import sys

import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.export import export_run
from cnn.export.__main__ import main
from cnn.training.loop import train
from tests.conftest import tiny_config

# What a stranger writes, who has jax and none of this code.
READER = """
import json, sys
import numpy as np
from jax import export

folder = sys.argv[1]
program = export.deserialize(open(f"{folder}/model.stablehlo", "rb").read())
golden = np.load(f"{folder}/golden.npz")
for count in json.loads(sys.argv[2]):
    logits = program.call(golden["inputs"][:count])
    np.testing.assert_allclose(logits, golden["logits"][:count], rtol=1e-5, atol=1e-5)
assert "cnn" not in sys.modules
print(len(json.load(open(f"{folder}/export.json"))["class_names"]), golden["logits"].shape[1])
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = str(tmp_path_factory.mktemp("run") / "run")
    train(tiny_config("model.downsample=max_blur"), workdir, quiet=True)
    return open_run(workdir)


def read_alone(folder, counts):
    done = subprocess.run(
        [sys.executable, "-c", READER, str(folder), json.dumps(counts)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(("batch", "counts"), [(None, [1, 3, 4]), (2, [2])])
def test_jax_alone_gives_the_same_logits(run, tmp_path, batch, counts):
    folder = export_run(run, tmp_path / "export", batch=batch)
    assert read_alone(folder, counts) == ["7", "7"]


def test_golden_logits_are_those_of_the_network(run, tmp_path):
    golden = np.load(export_run(run, tmp_path) / "golden.npz")
    mean, std = (
        np.asarray(v, np.float32) for v in (run.evaluator.dataset.mean, run.evaluator.dataset.std)
    )
    inputs = (golden["inputs"].astype(np.float32) / 255 - mean) / std
    logits = run.evaluator.model.apply(run.variables, inputs, train=False)
    np.testing.assert_allclose(golden["logits"], logits, rtol=1e-4, atol=1e-4)


def test_one_program_serves_several_platforms(run, tmp_path):
    folder = export_run(run, tmp_path, platforms=("cpu", "cuda", "tpu"))
    assert read_alone(folder, [4]) == ["7", "7"]
    assert json.loads((folder / "export.json").read_text())["platforms"] == ["cpu", "cuda", "tpu"]


def test_the_command_writes_the_format_that_it_names(run, tmp_path, capsys):
    main([f"--workdir={run.folder.path}", "--format=stablehlo", f"--to={tmp_path}"])
    assert capsys.readouterr().out.strip() == str(tmp_path)
    assert (tmp_path / "golden.npz").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format=onnx"], "no well-kept converter"),
        (["--format=stable"], "allowed: stablehlo"),
        (["--platform=gpu"], "unknown 'gpu'"),
        (["--batch=0"], "--batch"),
    ],
)
def test_mistakes_are_refused(run, arguments, words):
    with pytest.raises(UserError, match=words):
        main([f"--workdir={run.folder.path}", *arguments])


def test_an_export_goes_into_no_part_of_a_run(run):
    with pytest.raises(UserError, match=r"--to: .* belongs to the run"):
        export_run(run, run.folder.checkpoints)
