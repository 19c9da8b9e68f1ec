"""The first run of the README and every suite on it, with the flags and devices that users have.

The other tests run on eight devices at XLA's optimisation level 0, where the compiler chooses other
layouts and fuses nothing. `.ci/run` runs the suites on the whole first run.
"""

import json
import os
import subprocess
import sys

import pytest

from cnn.evaluation.suites import SUITES
from tests.conftest import REPOSITORY

# Fewer steps and images than a user takes, and a reduction whose transforms have gradients.
FIRST_RUN = (
    "--config=configs/fashion_mnist_10k.py",
    "--config.data.train_split=train[:640]",
    "--config.data.test_split=test[:80]",
    "--config.data.validation=10%",
    "--config.train.duration=3steps",
    "--config.schedule.warmup=1steps",
    "--config.model.downsample=flc",
)
# The cost suite times calls for half a minute; .ci/run has it too.
NAMES = [name for name, suite in SUITES.items() if name != "cost" and not suite.needs]
FEWER = [
    "shift(exhaustive=1)",
    "corruption(images=8,severities=(5,))",
    "receptive_field(images=2)",
    "equivariance(images=64)",
    "adversarial(images=64,steps=2)",
    "landscape(images=64,points=3)",
]


def command(*arguments):
    """Runs a command as a user does, and returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment.pop("JAX_PLATFORMS", None)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.exhaustive
def test_every_suite_measures_the_first_run(tmp_path):
    workdir = str(tmp_path / "first")
    command("train.py", f"--workdir={workdir}", *FIRST_RUN)
    printed = command("eval.py", f"--workdir={workdir}", f"--suite={','.join(NAMES + FEWER)}")
    files = json.loads(printed.splitlines()[-1])["runs"][workdir]["files"]
    assert set(files) == set(NAMES)
    for file in files.values():
        with open(file) as record:
            assert json.load(record)["complete"]
