"""Two processes that share a run, over the network of this machine, end where one does."""

import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from cnn.evaluation.checkpointed_run import open_run
from cnn.training.run_folder import RunFolder
from tests.conftest import REPOSITORY, TINY

OVERRIDES = (*TINY, "augment.flip=True", "train.ema_decay=0.9", "mesh.devices=0")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(workdir, processes, *overrides):
    """Starts a run on 4 fake devices, shared by so many processes."""
    port, started = free_port(), []
    for index in range(processes):
        flags = f"--xla_force_host_platform_device_count={4 // processes}"
        hosts = [f"--hosts=127.0.0.1:{port},{processes},{index}"] if processes > 1 else []
        fields = [f"--config.{text}" for text in (*OVERRIDES, *overrides)]
        command = ["train.py", "--config=configs/base.py", f"--workdir={workdir}", *hosts, *fields]
        started.append(
            subprocess.Popen(
                [sys.executable, *command],
                cwd=REPOSITORY,
                env=os.environ | {"XLA_FLAGS": flags},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return started


def finish(processes):
    outputs = [p.communicate(timeout=180)[0] for p in processes]
    return outputs, [p.returncode for p in processes]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "one"
    outputs, codes = finish(start(workdir, 1))
    assert codes == [0], outputs
    return workdir


@pytest.mark.parametrize("placement", ["device", "stream"])
def test_two_processes_train_as_one(tmp_path, one_process, placement):
    workdir = tmp_path / "two"
    outputs, codes = finish(start(workdir, 2, f"data.placement={placement}"))
    assert codes == [0, 0], outputs
    assert "test: accuracy" in outputs[0]
    assert "test: accuracy" not in outputs[1]
    wanted, got = RunFolder(one_process).result(), RunFolder(workdir).result()
    assert got["test"]["count"] == 37
    assert got["test"]["loss"] == pytest.approx(wanted["test"]["loss"], rel=1e-3)
    one, two = (jax.device_get(open_run(w).variables) for w in (one_process, workdir))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), one, two)


def test_two_processes_go_on_from_their_checkpoint(tmp_path):
    workdir = tmp_path / "two"
    outputs, codes = finish(start(workdir, 2))
    assert codes == [0, 0], outputs
    folder = RunFolder(workdir)
    wanted = folder.result()["test"]
    folder.result_file.unlink()
    outputs, codes = finish(start(workdir, 2))
    assert codes == [0, 0], outputs
    assert "continuing after step" in outputs[0]
    assert folder.result()["test"] == wanted


def test_a_mistake_ends_every_process(tmp_path):
    processes = start(tmp_path / "run", 2, "train.batch_size=18")
    outputs, codes = finish(processes)
    assert codes == [2, 2], outputs
    assert "train.batch_size" in outputs[0]


def test_hosts_of_no_form_are_refused():
    command = ["train.py", "--config=configs/base.py", "--workdir=x", "--hosts=here"]
    done = subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "ADDRESS:PORT,COUNT,INDEX" in done.stderr
