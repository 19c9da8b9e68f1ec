"""Runs a study on a Ray cluster: one task per run, on any node with free resources."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from cnn.ablation.execution.due import is_open
from cnn.ablation.execution.local_pool import threads
from cnn.ablation.execution.worker import record_failure, work
from cnn.ablation.planning.runs import Run
from cnn.config.errors import UserError
from cnn.training.ownership import HEARTBEAT
from cnn.training.start import use_compilation_cache

ROOT = Path(__file__).parents[3]


class RayPool:
    """The open runs as Ray tasks; a task whose node dies is restarted on another.

    The cluster is that of $RAY_ADDRESS, or the one that this host is part of, or else this host.
    All nodes see the code and the study's folder under the same paths.

    Args:
      runs: of the study.
      gpus: per run; a fraction lets several runs share a GPU.
      retries: restarts of a run that was lost with its node or process.
      patience: seconds without progress after which a run is stopped.

    Raises:
      UserError: Ray is not installed, or no node has as many GPUs.
    """

    def __init__(self, runs: Sequence[Run], gpus: float, retries: int, patience: float):
        try:
            import ray
        except ImportError as error:
            raise UserError(
                "--engine: ray is not installed; pip install -r requirements/ray.txt"
            ) from error
        self._ray = ray
        ray.init(
            address=os.environ.get("RAY_ADDRESS") or None,
            runtime_env={"env_vars": _environment(gpus)},
            log_to_driver=False,
            logging_level="error",
        )
        if gpus > max(node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]):
            ray.shutdown()
            raise UserError(f"--gpus: no node of the Ray cluster has {gpus:g} GPUs; ask for fewer")
        train = ray.remote(_train).options(num_cpus=1, num_gpus=gpus, max_retries=retries)
        here = os.getcwd()
        self._pending = {train.remote(run, here, patience): run for run in runs if is_open(run)}

    def poll(self) -> bool:
        """Records finished and failed runs; returns whether any is left."""
        if not self._pending:
            return False
        done, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        for task in done:
            run = self._pending.pop(task)
            try:
                self._ray.get(task)
            except self._ray.exceptions.RayError as error:
                if is_open(run):
                    record_failure(run, f"Ray: {error}".splitlines()[0])
        return bool(self._pending)

    def stop(self) -> None:
        """Cancels the remaining tasks; their runs can be resumed."""
        for task in self._pending:
            self._ray.cancel(task, force=True)
        self._ray.shutdown()


def _environment(gpus: float) -> dict[str, str]:
    """Environment of the training processes: the code, one thread each, their share of a GPU."""
    variables = threads(workers=2) | {"PYTHONPATH": str(ROOT)}
    if 0 < gpus < 1:
        # JAX preallocates three quarters of a GPU's memory, even if it is shared.
        variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * gpus:.3f}"
    return variables


def _train(run: Run, folder: str, patience: float) -> None:
    """Trains one run in a process of the cluster; waits while another worker trains it."""
    os.chdir(folder)
    use_compilation_cache()
    while is_open(run):
        if code := work([run], patience=patience):
            raise SystemExit(code)
        if is_open(run):
            time.sleep(HEARTBEAT)
