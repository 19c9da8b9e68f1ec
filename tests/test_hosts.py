"""Processes that share a run, over the network of this machine, train and end as one."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from cnn.config.errors import UserError
from cnn.evaluation.checkpointed_run import open_run
from cnn.training.channel import HOST_LOST
from cnn.training.hosts import joined
from cnn.training.logs import read_metrics
from cnn.training.run_folder import RunFolder
from cnn.training.stored_weights import read_weights
from tests.conftest import REPOSITORY, TINY

STEPS = 100
OVERRIDES = (
    *TINY,
    "model.features=8,8",
    "augment.flip=True",
    "train.ema_decay=0.9",
    f"train.duration={STEPS} steps",
    "checkpoint.every=20 steps",
    "evaluation.every=50 steps",
    "log.trackers=",
    "mesh.devices=0",
)
# What the libraries below would put on the screen.
NOISE = ("Traceback", "Gloo", "gRPC", "coordination", "***", "@ 0x")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def begin(workdir, hosts, devices, *overrides, **variables):
    """Starts one process of a run, on so many fake devices."""
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    fields = [f"--config.{text}" for text in overrides]
    command = ["train.py", "--config=configs/base.py", f"--workdir={workdir}", *hosts, *fields]
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=os.environ | {"XLA_FLAGS": flags} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start(workdir, processes, *overrides, folders=(), own=()):
    """Starts a run on 4 fake devices, shared by so many processes.

    `folders` and `own` are run folders and overrides of each, where they differ.
    """
    port, started = free_port(), []
    for index in range(processes):
        mine = own[index] if own else ()
        hosts = [f"--hosts=127.0.0.1:{port},{processes},{index}"] if processes > 1 else []
        texts = [*OVERRIDES, *overrides, *mine]
        if any(text.startswith("data.source=") for text in mine):
            texts = [text for text in texts if not text.startswith("data.synthetic")]
        folder = folders[index] if folders else workdir
        started.append(begin(folder, hosts, 4 // processes, *texts))
    return started


def finish(processes):
    outputs = [p.communicate(timeout=180)[0] for p in processes]
    return outputs, [p.returncode for p in processes]


def train(workdir, processes, *overrides):
    """Trains to the end; returns what stands on the screens."""
    outputs, codes = finish(start(workdir, processes, *overrides))
    assert codes == [0] * processes, outputs
    assert not [word for word in NOISE if word in "".join(outputs)], outputs
    assert "test: accuracy" in outputs[0]
    assert not "".join(outputs[1:]), "the others say nothing"
    return outputs


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A run of one process."""
    workdir = tmp_path_factory.mktemp("runs") / "one"
    train(workdir, 1)
    return workdir


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run of two processes that nothing disturbs."""
    workdir = tmp_path_factory.mktemp("runs") / "two"
    train(workdir, 2)
    return workdir


def rows(workdir):
    """Returns (step, split, name) -> value of all metrics that do not tell the time."""
    found = {
        (row["step"], row["split"], row["name"]): row["value"]
        for row in read_metrics(RunFolder(workdir).metrics_file)
    }
    return {key: value for key, value in found.items() if key[2] != "images_per_second"}


def assert_same_run(workdir, other, steps=range(STEPS + 1)):
    """Two runs saw the same examples in the same order, drew alike and count alike."""
    wanted, got = rows(other), rows(workdir)
    assert got.keys() == wanted.keys()
    losses = [key for key in wanted if key[2] == "loss" and key[0] in steps]
    assert len(losses) > len(steps) // 3
    for key in losses:
        assert got[key] == pytest.approx(wanted[key], rel=1e-3), key
    results = [RunFolder(folder).result() for folder in (workdir, other)]
    assert [result["test"]["count"] for result in results] == [37, 37]
    variables = [
        jax.device_get(open_run(str(w), overrides=ALONE).variables) for w in (workdir, other)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=5e-3, atol=5e-4), *variables)


# Where a run is evaluated whose devices are not here.
ALONE = ("mesh.devices=1", "mesh.fsdp=1")


def test_two_processes_train_as_one(one, two):
    assert_same_run(two, one)


@pytest.mark.exhaustive
def test_four_processes_that_stream_train_as_one(tmp_path, one):
    train(tmp_path / "four", 4, "data.placement=stream")
    assert_same_run(tmp_path / "four", one)


def test_a_state_that_hosts_share_goes_on_anywhere(tmp_path, one):
    """Each host writes and reads its own part, also after SIGTERM to one of them.

    Another mesh, and one device, read it too.
    """
    workdir = tmp_path / "run"
    shared = "mesh.fsdp=4", "data.placement=stream"
    processes = start(workdir, 2, *shared)
    wait_for_step(workdir, 24, processes)
    processes[1].send_signal(signal.SIGTERM)
    outputs, codes = finish(processes)
    assert codes == [143, 143], outputs
    assert "which is saved; the same command continues" in outputs[0]
    assert not [word for word in NOISE if word in "".join(outputs)], outputs
    step = max(int(path.name) for path in (workdir / "checkpoints").iterdir())
    state = workdir / "checkpoints" / str(step) / "state"
    sizes = [
        sum(f.stat().st_size for f in state.rglob(f"ocdbt.process_{host}/d/*")) for host in (0, 1)
    ]
    assert min(sizes) > 0.2 * max(sizes), "each host writes its part"
    variables = read_weights(str(workdir / "checkpoints" / str(step)), "init_from").variables
    alone = open_run(str(workdir), str(step), overrides=ALONE).variables
    jax.tree.map(np.testing.assert_array_equal, variables, jax.device_get(alone))
    outputs = train(workdir, 2, *shared)
    assert f"continuing after step {step}" in outputs[0]
    assert_same_run(workdir, one)
    RunFolder(workdir).result_file.unlink()
    shutil.rmtree(workdir / "checkpoints" / str(STEPS))
    (before,) = (int(path.name) for path in (workdir / "checkpoints").iterdir())
    (output,) = train(workdir, 1, "mesh.fsdp=2")
    assert f"continuing after step {before}" in output
    assert_same_run(workdir, one)


def assert_ends(processes, code, *words):
    """All end with a code and one sentence, that holds the words on each of their screens."""
    outputs, codes = finish(processes)
    assert codes == [code] * len(processes), outputs
    for output in outputs:
        assert not [word for word in NOISE if word in output], output
        printed = [line for line in output.splitlines() if line.startswith("error: ")]
        assert len(printed) == 1, output
        assert all(word in printed[0] for word in words), output
    return outputs


def test_a_mistake_ends_every_process(tmp_path):
    assert_ends(start(tmp_path / "run", 2, "train.batch_size=18"), 2, "train.batch_size")
    assert not (tmp_path / "run").exists()


def test_a_mistake_of_one_process_ends_the_others(tmp_path):
    """Only one of them sees that the folder holds something else."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "notes.txt").touch()
    processes = start(tmp_path / "two", 2, folders=[tmp_path / "two", tmp_path / "one"])
    outputs = assert_ends(processes, 2, "is not empty and not a run folder")
    assert "error: host 1: " in outputs[0]


def test_hosts_that_differ_are_refused_before_anything_is_written(tmp_path):
    other = ["seed=2", "augment.pad=3", "checkpoint.every=7 steps"]
    processes = start(tmp_path / "run", 2, own=[["seed=1"], other])
    words = ["host 0 and host 1 differ", "seed: 1 and 2", "augment.pad: 0 and 3", "20 steps"]
    assert_ends(processes, 2, *words)
    assert not (tmp_path / "run").exists()


def test_hosts_that_do_not_find_each_other_say_so(tmp_path):
    """Host 1 is missing; host 0 is missing; the port is in use."""
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        ports = free_port(), free_port(), taken.getsockname()[1]
        processes = [
            begin(
                tmp_path / "run",
                [f"--hosts=127.0.0.1:{port},2,{index}"],
                1,
                *OVERRIDES,
                CNN_HOSTS_SECONDS="2",
            )
            for port, index in zip(ports, (0, 1, 0), strict=True)
        ]
        printed = (
            "of 2 hosts these did not come within 2 seconds: 1",
            f"could not connect to host 0 at 127.0.0.1:{ports[1]} within 2 seconds",
            f"host 0 cannot listen on port {ports[2]}",
        )
        for process, words in zip(processes, printed, strict=True):
            assert_ends([process], 2, words)
    assert not (tmp_path / "run").exists()


def test_a_host_without_the_data_ends_all(tmp_path):
    arrays = {
        f"{split}_{name}": np.zeros((40, 8, 8, 3)[:axes], np.uint8)
        + (np.arange(40) % 3 if axes == 1 else 0)
        for split in ("train", "test")
        for name, axes in (("image", 4), ("label", 1))
    }
    np.savez(tmp_path / "here.npz", **arrays)
    own = [["data.source=npz", f"data.path={tmp_path / name}.npz"] for name in ("here", "gone")]
    assert_ends(start(tmp_path / "run", 2, own=own), 2, "gone.npz")
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
    assert_ends(processes, 2, "host 0 and host 1 have different data")


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


def final_bytes(workdir):
    variables = jax.device_get(open_run(str(workdir), overrides=ALONE).variables)
    return [leaf.tobytes() for leaf in jax.tree.leaves(variables)]


def test_whatever_stops_hosts_they_go_on_to_the_same_bytes(tmp_path, two):
    """SIGINT to both, a kill of the first, and a damaged checkpoint, in a row."""
    workdir = tmp_path / "run"
    processes = start(workdir, 2)
    wait_for_step(workdir, 30, processes)
    for process in processes:
        process.send_signal(signal.SIGINT)
    outputs, codes = finish(processes)
    assert codes == [130, 130], outputs
    assert "which is saved; the same command continues" in outputs[0]

    # The hard one of the two: what connects the devices lives in process 0.
    processes = start(workdir, 2)
    wait_for_step(workdir, 62, processes)
    processes[0].kill()
    processes[0].communicate()
    assert_ends([processes[1]], HOST_LOST, "host 0 was lost", "start all again")

    newest = max((workdir / "checkpoints").glob("[0-9]*[0-9]"), key=lambda path: int(path.name))
    # All of its data: what the processes wrote is stored once more where it was merged.
    for file in newest.rglob("d/*"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    outputs = train(workdir, 2)
    assert f"moved aside: step {newest.name}" in outputs[0]
    assert "continuing after step" in outputs[0]
    assert final_bytes(workdir) == final_bytes(two)


SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node1",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}


@pytest.mark.parametrize(
    ("hosts", "variables", "words"),
    [
        ("here", {}, "ADDRESS:PORT,COUNT,INDEX"),
        ("localhost:1,65537,0", {}, "65,537 hosts are more than the 65,536 that a run can have"),
        ("localhost:1,2,1", {"CNN_HOSTS_SECONDS": "soon"}, "CNN_HOSTS_SECONDS: 'soon' is not a n"),
        ("localhost:1,2,1", {"CNN_HOSTS_SECONDS": "inf"}, "CNN_HOSTS_SECONDS: 'inf' is not a num"),
        ("auto", SLURM | {"SLURM_NTASKS": "two"}, "SLURM_NTASKS: 'two' is not a whole number"),
        ("auto", {"OMPI_MCA_orte_hnp_uri": "4096.0;x"}, r"says \(Could not parse coordinator IP"),
        ("auto", SLURM | {"SLURM_PROCID": "2"}, "hosts count from 0, so the last of 2 is 1"),
    ],
)
def test_hosts_that_cannot_be_are_refused(monkeypatch, hosts, variables, words):
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(UserError, match=words), joined(hosts, {}):
        pass
