"""Checkpoints: written by Orbax in the background, verified when they are read."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization

from cnn.config.errors import UserError
from cnn.training.hosts import is_first, wait_for_all
from cnn.training.state import TrainState


class DamagedCheckpointError(Exception):
    """A checkpoint cannot be read, or holds other values than were saved."""


class Checkpoints:
    """The checkpoints of one run, by step.

    Orbax does not notice flipped bits, nor that a folder was copied halfway, so every checkpoint
    carries a SHA-256 over its arrays, which is compared when it is restored.

    Args:
      directory: of the run's checkpoints.
      keep: newest ones to keep, besides the best.
      read_only: promise to write nothing.
    """

    def __init__(self, directory: Path, keep: int = 1, *, read_only: bool = False):
        self.directory = directory
        options = ocp.CheckpointManagerOptions(
            # Without best_fn Orbax does not keep the metrics; the policy decides what stays.
            best_fn=lambda metrics: metrics["accuracy"],
            preservation_policy=_LatestAndBest(keep),
            create=not read_only,
            read_only=read_only,
            cleanup_tmp_directories=not read_only,
        )
        handlers = {"state": ocp.StandardCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()}
        self._manager = ocp.CheckpointManager(directory, options=options, item_handlers=handlers)

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, in order."""
        return sorted(self._manager.all_steps())

    def best(self) -> tuple[int, float] | None:
        """Returns (step, accuracy) of the best on the validation part, the earliest of equals."""
        scored = [(s, self._manager.metrics(s)) for s in self.steps()]
        scored = [(s, m["accuracy"]) for s, m in scored if m]
        return max(scored, key=lambda pair: (pair[1], -pair[0])) if scored else None

    def save(
        self, step: int, state: TrainState, meta: dict[str, Any], accuracy: float | None
    ) -> None:
        """Starts to save; returns once the arrays may be overwritten.

        Args:
          step: number of updates made.
          state: the state after them.
          meta: JSON values to keep beside it.
          accuracy: on the validation part, if it was just evaluated.

        Raises:
          UserError: an earlier save failed (a full disk), or Orbax refused this one.
        """
        tree = _on_host(serialization.to_state_dict(state))
        items = {
            "state": ocp.args.StandardSave(tree),
            "meta": ocp.args.JsonSave(meta | {"sha256": _digest(tree)}),
        }
        metrics = None if accuracy is None else {"accuracy": accuracy}
        try:
            saved = self._manager.save(
                step, args=ocp.args.Composite(**items), metrics=metrics, force=True
            )
        except Exception as error:
            raise self._failure(step, error) from error
        if not saved:
            raise self._failure(step, "it holds later steps")

    def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """Reads one checkpoint.

        Args:
          step: which one.
          like: shapes, dtypes and shardings to restore into.

        Raises:
          DamagedCheckpointError: it is incomplete, or its values are not those that were saved.
        """
        target = serialization.to_state_dict(like)
        items = {"state": ocp.args.StandardRestore(target), "meta": ocp.args.JsonRestore()}
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:
            raise DamagedCheckpointError(f"step {step}: {str(error).splitlines()[0]}") from error
        if _digest(restored["state"]) != restored["meta"]["sha256"]:
            raise DamagedCheckpointError(f"step {step}: its values differ from those saved")
        return serialization.from_state_dict(like, restored["state"]), restored["meta"]

    def restore_newest(
        self, like: TrainState
    ) -> tuple[tuple[TrainState, dict[str, Any]] | None, list[str]]:
        """Reads the newest good checkpoint, putting damaged ones aside.

        Returns:
          (state, meta), or None where there is no checkpoint; and a sentence for each damaged one.

        Raises:
          UserError: there are checkpoints, but none can be read.
        """
        damaged: list[str] = []
        for step in reversed(self.steps()):
            try:
                found = self.restore(step, like)
            except DamagedCheckpointError as error:
                damaged.append(str(error))
                continue
            self._put_aside(s for s in self.steps() if s > step)
            return found, damaged
        if damaged:
            raise UserError(
                f"{self.directory}: no checkpoint can be read ({'; '.join(damaged)}); "
                "restore the folder from a copy, or remove the run folder to start again"
            )
        return None, []

    def _put_aside(self, steps: Any) -> None:
        # A later step left in place would make Orbax refuse to save the steps before it.
        if is_first():
            for step in steps:
                (self.directory / str(step)).rename(self.directory / f"damaged-{step}")
        wait_for_all("put aside")
        self._manager.reload()

    def wait(self) -> None:
        """Waits until the last save is complete on disk.

        Raises:
          UserError: it failed, for example because the disk is full; earlier ones stay good.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failure(None, error) from error

    def close(self) -> None:
        """Ends the background threads, after the last save."""
        self._manager.close()

    def _failure(self, step: int | None, reason: object) -> UserError:
        which = "the last checkpoint" if step is None else f"the checkpoint of step {step}"
        return UserError(
            f"{self.directory}: {which} could not be saved ({str(reason).splitlines()[0]}); "
            f"earlier ones are good: {self.steps() or 'none'}; make room and start again"
        )


class _LatestAndBest:
    """Orbax preservation policy: the newest few, and the earliest of the best."""

    def __init__(self, keep: int):
        self._keep = keep

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        scored = [c for c in checkpoints if c.metrics]
        best = max(scored, key=lambda c: (c.metrics["accuracy"], -c.step), default=None)
        newest = sorted(c.step for c in checkpoints)[-self._keep :]
        return [c.step in newest or c is best for c in checkpoints]


def _on_host(tree: Any) -> Any:
    """Returns copies, which outlive the buffers that the next step takes over.

    Every process holds all of a state, so one writes it. Orbax would have the devices write a part
    each, which for states of this size takes twice the CPU time.
    """
    return jax.tree.map(np.array, jax.device_get(tree))


def _digest(tree: Any) -> str:
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(jax.device_get(leaf))
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
