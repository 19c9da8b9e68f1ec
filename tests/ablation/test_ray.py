"""A study on a real Ray cluster of two nodes, one of which is killed on the way."""

import json
import os
import subprocess
import sys
import time

import pytest

from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_folder import StudyFolder
from tests.conftest import REPOSITORY

pytest.importorskip("ray", reason="ray is not installed: pip install -r requirements/ray.txt")
pytestmark = pytest.mark.filterwarnings("ignore")

# Long enough that both nodes are at work at the same time.
STUDY = """
from cnn.ablation.planning.study_plan import StudyPlan
from tests.conftest import TINY

LONGER = ("train.duration=200 steps", "checkpoint.every=25 steps", "evaluation.every=100 steps")

def get_study():
    return StudyPlan(
        name="Two nodes",
        config="configs/base.py",
        shared=(*TINY, *LONGER),
        arms={"max": (), "broken": ("optimizer.learning_rate=1e30", "schedule.name=constant")},
        baseline="max",
        seeds=range(3),
        margin=1.0,
        repeat_baseline=False,
    )
"""


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each on this machine; they cannot tell that it is one machine."""
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    cluster.second = cluster.add_node(**options)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def start(cluster, workdir, *more):
    file = workdir.with_name("study.py")
    file.write_text(STUDY)
    run = (sys.executable, "ablate.py", "run", "--engine=ray", f"--config={file}")
    return subprocess.Popen(
        [*run, f"--workdir={workdir}", *more],
        cwd=REPOSITORY,
        env=os.environ | {"RAY_ADDRESS": cluster.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_too_many_gpus_are_refused(cluster, tmp_path):
    asked = start(cluster, tmp_path / "study", "--gpus=1")
    printed, _ = asked.communicate(timeout=200)
    assert asked.returncode == 2
    assert "no node of the Ray cluster has 1 GPUs" in printed


@pytest.mark.exhaustive
def test_a_killed_nodes_runs_are_done_on_the_other(cluster, tmp_path):
    workdir = tmp_path / "study"
    study = start(cluster, workdir, "--retries=5")
    deadline = time.monotonic() + 200
    while len(list(workdir.glob("*/*/owner.json"))) < 2:
        assert study.poll() is None, study.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    at_work = {file.parent for file in workdir.glob("*/*/owner.json")}
    cluster.remove_node(cluster.second, allow_graceful=False)
    unfinished = [run for run in at_work if not (run / "result.json").exists()]
    printed, _ = study.communicate(timeout=400)
    assert study.returncode == 0, printed
    assert unfinished
    for arm, runs in arms_of(StudyFolder(workdir).plan(), workdir).items():
        for run in runs:
            assert (run.folder / "result.json").exists() == (arm != "broken"), printed
            rows = (run.folder / "metrics.jsonl").read_text().splitlines()
            logged = [json.loads(row) for row in rows]
            steps = [r["step"] for r in logged if (r["split"], r["name"]) == ("train", "loss")]
            assert steps == sorted(set(steps))
    assert not list(workdir.glob("*/*/owner.json*"))
    assert "broken is unstable: 3 of 3 seeds diverged" in (workdir / "report.md").read_text()
    assert "Partial" not in (workdir / "report.html").read_text()


def test_a_share_of_a_gpu_comes_with_a_share_of_its_memory():
    from cnn.ablation.execution.ray_pool import _environment

    assert _environment(0.5)["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.450"
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in _environment(1)
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in _environment(0)
