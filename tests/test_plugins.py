"""A researcher's own file, from a folder outside the repository, in every command."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY, TINY

PLUGIN = '''
"""An operator of one's own."""

from cnn.layers.downsample import Card, register
from cnn.ops.average import avg_pool


@register("twice_avg", Card(formula="y = 2 mean of the window", reference="nobody"))
def _twice(layer, x, train, phase, *, window: int = 2):
    return 2 * avg_pool(x, layer.along(window), layer.strides, layer.style.padding)
'''
# As of an installed package.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}
OWN = "--config.model.downsample=twice_avg(window=3)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the plugin and a run that was trained with it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "my_ops.py").write_text(PLUGIN)
    done = train(folder, "--plugin=my_ops.py")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def command(folder, script, *arguments):
    script = ("-m", script) if script.startswith("cnn.") else (str(REPOSITORY / script),)
    return subprocess.run(
        [sys.executable, *script, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def train(folder, *arguments):
    fields = [f"--config.{text}" for text in TINY]
    config = f"--config={REPOSITORY}/configs/base.py"
    return command(folder, "train.py", config, "--workdir=run", OWN, *fields, *arguments)


def refusal(done):
    """Returns the one sentence that a command ended with."""
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


def digest(folder):
    return hashlib.sha256((folder / "my_ops.py").read_bytes()).hexdigest()


def test_without_the_plugin_the_operator_is_unknown(tmp_path):
    output = refusal(train(tmp_path))
    assert "model.downsample" in output
    assert "unknown operator 'twice_avg'" in output


def test_a_run_records_name_and_hash(folder):
    config = json.loads((folder / "run" / "config.json").read_text())["config"]
    assert config["plugins"] == [f"my_ops.py sha256:{digest(folder)}"]


def test_evaluation_names_the_plugin_and_loads_it_only_when_asked(folder):
    # The suite may be the plugin's.
    output = refusal(command(folder, "eval.py", "--workdir=run", "--suite=bright,accuracy"))
    assert all(w in output for w in ("--plugin", "my_ops.py", digest(folder), str(folder / "run")))
    done = command(folder, "eval.py", "--workdir=run", "--plugin=my_ops.py")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["count"] == 37


def test_a_changed_plugin_is_another_run(folder, tmp_path):
    (tmp_path / "my_ops.py").write_text(PLUGIN.replace("2 * avg", "3 * avg"))
    changed = f"--plugin={tmp_path}/my_ops.py"
    digests = digest(folder), digest(tmp_path)
    output = refusal(train(folder, changed))
    assert all(word in output for word in ("another config", "plugins", *digests))
    output = refusal(command(folder, "eval.py", "--workdir=run", changed))
    assert all(word in output for word in digests)


def test_a_broken_plugin_is_reported_with_its_line(folder, tmp_path):
    (tmp_path / "broken.py").write_text("x = 1\nx = 1 / 0\n")
    output = refusal(train(folder, f"--plugin={tmp_path}/broken.py"))
    assert "broken.py, line 2" in output
    assert "ZeroDivision" in output
    (tmp_path / "quits.py").write_text("raise SystemExit(0)\n")
    output = refusal(train(folder, f"--plugin={tmp_path}/quits.py"))
    assert "quits.py, line 1: calls sys.exit" in output
    output = refusal(train(folder, "--plugin=none.py"))
    assert "--plugin: there is no file 'none.py'" in output
    assert str(folder) in output
    (tmp_path / "double.py").write_text(PLUGIN.replace('"twice_avg"', '"max"'))
    output = refusal(train(folder, f"--plugin={tmp_path}/double.py"))
    assert "line 8" in output
    assert "'max' is registered twice" in output


def test_the_cost_of_an_operator_that_says_none_is_not_available(folder):
    done = command(folder, "cnn.cost", "--plugin=my_ops.py", OWN)
    assert done.returncode == 0, done.stderr
    assert "n/a" in done.stdout


def test_listings_show_what_a_plugin_adds(folder):
    done = command(folder, "cnn.layers", "twice_avg", "--plugin=my_ops.py")
    assert "y = 2 mean of the window" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments", [("cnn.export", "--to=program"), ("cnn.weights", "export", "--to=w.safetensors")]
)
def test_exports_take_the_plugin_that_a_run_needs(folder, arguments):
    output = refusal(command(folder, *arguments, "--workdir=run"))
    assert "as --plugin=PATH/my_ops.py" in output
    done = command(folder, *arguments, "--workdir=run", "--plugin=my_ops.py")
    assert done.returncode == 0, done.stderr
    assert (folder / arguments[-1].removeprefix("--to=")).exists()
