"""Two processes that share a run, over the network of this machine, end where one does."""

import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from cnn.evaluation.checkpointed_run import open_run
from cnn.training.channel import LOST
from cnn.training.logs import read_metrics
from cnn.training.run_folder import RunFolder
from tests.conftest import REPOSITORY, TINY

OVERRIDES = (*TINY, "augment.flip=True", "train.ema_decay=0.9", "mesh.devices=0")
LONG = ("train.duration=100 steps", "checkpoint.every=20 steps", "evaluation.every=50 steps")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(workdir, processes, *overrides, folders=(), own=()):
    """Starts a run on 4 fake devices, shared by so many processes.

    `folders` and `own` are run folders and overrides of each, where they differ.
    """
    port, started = free_port(), []
    for index in range(processes):
        workdir = folders[index] if folders else workdir
        mine = own[index] if own else ()
        flags = f"--xla_force_host_platform_device_count={4 // processes}"
        hosts = [f"--hosts=127.0.0.1:{port},{processes},{index}"] if processes > 1 else []
        texts = [*OVERRIDES, *overrides, *mine]
        if any(text.startswith("data.source=") for text in mine):
            texts = [text for text in texts if not text.startswith("data.synthetic")]
        fields = [f"--config.{text}" for text in texts]
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


def assert_ends(processes, code, *words):
    """All end with a code and one sentence, that holds the words on each of their screens."""
    outputs, codes = finish(processes)
    assert codes == [code] * len(processes), outputs
    for output in outputs:
        said = [line for line in output.splitlines() if line.startswith("error: ")]
        assert len(said) == 1, output
        assert all(word in said[0] for word in words), output
        for noise in ("Traceback", "Gloo", "gRPC", "coordination", "***"):
            assert noise not in output
    return outputs


def test_four_processes_train_as_one(tmp_path, one_process):
    outputs, codes = finish(start(tmp_path / "four", 4))
    assert codes == [0] * 4, outputs
    assert not any("Gloo" in output for output in outputs)
    wanted, got = RunFolder(one_process).result(), RunFolder(tmp_path / "four").result()
    assert got["test"]["count"] == 37
    assert got["test"]["loss"] == pytest.approx(wanted["test"]["loss"], rel=1e-3)


def test_a_mistake_ends_every_process(tmp_path):
    assert_ends(start(tmp_path / "run", 2, "train.batch_size=18"), 2, "train.batch_size")
    assert not (tmp_path / "run").exists()


def test_a_mistake_of_one_process_ends_the_others(tmp_path):
    """Only one of them sees that the folder holds something else."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "notes.txt").touch()
    processes = start(tmp_path / "two", 2, folders=[tmp_path / "two", tmp_path / "one"])
    outputs = assert_ends(processes, 2, "not empty and holds no run")
    assert "error: host 1: " in outputs[0]


def test_hosts_that_differ_are_refused_before_anything_is_written(tmp_path):
    processes = start(tmp_path / "run", 2, own=[["seed=1"], ["seed=2", "augment.pad=3"]])
    words = ["host 0 and host 1 differ", "seed: 1 and 2", "augment.pad: 0 and 3"]
    assert_ends(processes, 2, *words)
    assert not (tmp_path / "run").exists()


def test_hosts_with_other_data_are_refused(tmp_path):
    own = []
    for i in range(2):
        rng = np.random.default_rng(i)
        arrays = {
            f"{split}_{name}": value
            for split, count in (("train", 40), ("test", 9))
            for name, value in (
                ("image", rng.integers(0, 256, (count, 8, 8, 3), np.uint8)),
                ("label", np.arange(count) % 3),
            )
        }
        np.savez(tmp_path / f"{i}.npz", **arrays)
        own.append(["data.source=npz", f"data.path={tmp_path / f'{i}.npz'}"])
    processes = start(tmp_path / "run", 2, "data.validation=0 examples", own=own)
    assert_ends(processes, 2, "host 0 and host 1 have other data")


def test_a_folder_that_is_not_shared_is_refused(tmp_path):
    folders = [tmp_path / "here", tmp_path / "there"]
    assert_ends(start(tmp_path, 2, folders=folders), 2, str(tmp_path), "all hosts share")


def wait_for_step(workdir, step, processes):
    file = RunFolder(workdir).metrics_file
    while all(process.poll() is None for process in processes):
        rows = read_metrics(file)
        if rows and rows[-1]["step"] >= step:
            return
        time.sleep(0.01)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """A run of two processes that nothing disturbs."""
    workdir = tmp_path_factory.mktemp("runs") / "long"
    outputs, codes = finish(start(workdir, 2, *LONG))
    assert codes == [0, 0], outputs
    return final_bytes(workdir)


def final_bytes(workdir):
    variables = jax.device_get(open_run(workdir).variables)
    return [leaf.tobytes() for leaf in jax.tree.leaves(variables)]


def test_a_signal_to_one_host_saves_on_all(tmp_path, long_run):
    workdir = tmp_path / "run"
    processes = start(workdir, 2, *LONG)
    wait_for_step(workdir, 24, processes)
    processes[1].send_signal(signal.SIGTERM)
    outputs, codes = finish(processes)
    assert codes == [143, 143], outputs
    assert "which is saved; the same command continues" in outputs[0]
    assert not any("Traceback" in output for output in outputs)
    outputs, codes = finish(start(workdir, 2, *LONG))
    assert codes == [0, 0], outputs
    assert final_bytes(workdir) == long_run


def test_a_lost_host_ends_the_others_and_all_go_on(tmp_path, long_run):
    """The hard one of the two: what connects the devices lives in process 0."""
    workdir = tmp_path / "run"
    processes = start(workdir, 2, *LONG)
    wait_for_step(workdir, 24, processes)
    processes[0].kill()
    processes[0].communicate()
    assert_ends([processes[1]], LOST, "host 0 was lost", "start all again")
    outputs, codes = finish(start(workdir, 2, *LONG))
    assert codes == [0, 0], outputs
    assert "continuing after step" in outputs[0]
    assert final_bytes(workdir) == long_run


def test_hosts_of_no_form_are_refused():
    command = ["train.py", "--config=configs/base.py", "--workdir=x", "--hosts=here"]
    done = subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "ADDRESS:PORT,COUNT,INDEX" in done.stderr
