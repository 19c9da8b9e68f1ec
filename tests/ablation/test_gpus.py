"""Workers and GPUs, on a machine that needs none."""

import pytest

from cnn.ablation.execution.gpus import gpu_of_worker, visible_gpus


@pytest.mark.parametrize(
    ("environment", "listed", "found"),
    [
        ({}, 0, []),
        ({}, 2, ["0", "1"]),
        ({"CUDA_VISIBLE_DEVICES": "3, 5"}, 8, ["3", "5"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, 8, []),
        ({"CUDA_VISIBLE_DEVICES": "2,-1,3"}, 8, ["2"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937,MIG-1"}, 8, ["GPU-8932f937", "MIG-1"]),
        ({"JAX_PLATFORMS": "cpu"}, 8, []),
        ({"JAX_PLATFORMS": "cuda,cpu"}, 1, ["0"]),
    ],
)
def test_gpus_that_this_process_may_use(tmp_path, environment, listed, found):
    for i in range(listed):
        (tmp_path / f"0000:0{i}:00.0").mkdir()
    assert visible_gpus(environment, tmp_path) == found


def test_a_machine_without_the_driver_has_none(tmp_path):
    assert visible_gpus({}, tmp_path / "gpus") == []


def test_every_worker_sees_one_gpu_and_all_are_used():
    seen = [gpu_of_worker(i, 4, ["4", "5", "6", "7"]) for i in range(4)]
    assert seen == [{"CUDA_VISIBLE_DEVICES": name} for name in ("4", "5", "6", "7")]


def test_workers_that_share_a_gpu_share_its_memory():
    seen = [gpu_of_worker(i, 3, ["0", "1"]) for i in range(3)]
    assert [variables["CUDA_VISIBLE_DEVICES"] for variables in seen] == ["0", "1", "0"]
    assert {variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] for variables in seen} == {"0.450"}


def test_without_gpus_nothing_is_reported():
    assert gpu_of_worker(0, 2, []) == {}
