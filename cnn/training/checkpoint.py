"""Checkpoints: written by Orbax in the background, verified when they are read."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization

from cnn.config.errors import UserError
from cnn.config.json_file import digest
from cnn.training.checksums import FORM, checksums, is_whole, not_finite
from cnn.training.hosts import gather, is_first, wait_for_all
from cnn.training.run_folder import RunFolder, free_name, moved_away
from cnn.training.state import ModelState, TrainState

S = TypeVar("S", bound=ModelState)

_DELETED = ".deleted"


class DamagedCheckpointError(Exception):
    """A checkpoint cannot be read, or its values differ from those that were saved."""


class NonFiniteStateError(UserError):
    """A state contains NaN or infinity, and is not saved."""


class Checkpoints:
    """The checkpoints of one run, by step.

    Orbax does not detect flipped bits, incomplete copies or a copy under another step, so every
    checkpoint carries checksums: one per part of its arrays (see `cnn.training.checksums`) and one
    of the metadata and step. They are verified on reading, on any mesh. Each host writes and
    reads its own part of a sharded state.

    The newest and the best are kept, and at least two in all, so that one damaged byte never
    ends a run. The others are renamed before they are deleted, so that no partial checkpoint is
    read.

    Args:
      directory: of the run's checkpoints.
      keep: newest ones to keep, besides the best.
      read_only: promise to write nothing.
    """

    def __init__(self, directory: Path, keep: int = 1, *, read_only: bool = False):
        self.directory, self._keep = directory, keep
        options = ocp.CheckpointManagerOptions(
            create=not read_only,
            read_only=read_only,
            cleanup_tmp_directories=not read_only,
        )
        handlers = {"state": ocp.PyTreeCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()}
        self._manager = ocp.CheckpointManager(directory, options=options, item_handlers=handlers)
        self._metas: dict[int, dict[str, Any]] = {}
        if not read_only and is_first():
            for rest in directory.glob(f"*{_DELETED}"):
                shutil.rmtree(rest)

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, in order."""
        return sorted(self._manager.all_steps())

    def best(self) -> tuple[int, float] | None:
        """Returns (step, score) of the best on the validation split, the earliest of equals.

        Raises:
          DamagedCheckpointError: one of them cannot be read, so that the best is not known.
        """
        scored = []
        for step in self.steps():
            try:
                scored.append((step, self._meta(step)["score"]))
            except DamagedCheckpointError:
                if not self.is_gone(step):
                    raise
        scored = [(step, score) for step, score in scored if score is not None]
        return max(scored, key=lambda pair: (pair[1], -pair[0]), default=None)

    def find(self, step: str, field: str) -> int:
        """Returns the step of a checkpoint.

        Args:
          step: "last", "best" (on the validation split) or a number.
          field: that messages name.

        Raises:
          UserError: there is no such checkpoint, or the best is not known.
        """
        steps = self.steps()
        if not steps:
            raise UserError(f"{field}: there is no checkpoint in {self.directory}; train longer")
        if step == "last":
            return steps[-1]
        if step == "best":
            return self._find_best(field)
        # As texts: Python reads no number of more than 4300 digits.
        if step not in (named := {str(number): number for number in steps}):
            raise UserError(
                f"{field}: no checkpoint '{step:.40}' in {self.directory}; "
                f"allowed: last, best, {steps}"
            )
        return named[step]

    def _find_best(self, field: str) -> int:
        try:
            best = self.best()
        except DamagedCheckpointError as error:
            raise UserError(
                f"{field}: the best checkpoint in {self.directory} is unknown, because one is "
                f"damaged ({error}); use one of {self.steps()}"
            ) from error
        if best is None:
            raise UserError(
                f"{field}: there is no best checkpoint in {self.directory}, because the run had no "
                "validation split; use last, or train with data.validation"
            )
        return best[0]

    def is_gone(self, step: int) -> bool:
        """Whether a concurrent run has deleted a step; `steps` then reads the folder again."""
        if (self.directory / str(step)).is_dir():
            return False
        self._manager.reload()
        self._metas.clear()
        return True

    def save(self, step: int, state: ModelState, meta: dict[str, Any], score: float | None) -> None:
        """Starts to save; returns once the arrays may be overwritten.

        Args:
          step: number of updates made.
          state: the state after them; of weights that were not trained here, a `ModelState`.
          meta: JSON values to keep beside it.
          score: on the validation split, the larger the better, if it was just evaluated.

        Raises:
          NonFiniteStateError: the state holds NaN or infinity.
          UserError: an earlier save failed (a full disk), or Orbax refused this one.
        """
        self.wait()
        parts = _to_write(_parts(state))
        _check_finite(parts, step)
        sums = {"sha256": checksums(parts), "sha256_form": FORM}
        meta = json.loads(json.dumps(meta | {"score": score} | sums))
        items = {
            "state": ocp.args.PyTreeSave(parts),
            "meta": ocp.args.JsonSave(meta | {"sha256_meta": digest([step, meta])}),
        }
        try:
            saved = self._manager.save(step, args=ocp.args.Composite(**items), force=True)
        except Exception as error:
            raise self._failure(step, error) from error
        if not saved:
            raise self._failure(step, "it holds later steps")
        self._metas[step] = meta

    def restore(self, step: int, like: S) -> tuple[S, dict[str, Any]]:
        """Reads one checkpoint, of its arrays only those that are wanted.

        Args:
          step: which one.
          like: shapes, dtypes and shardings to restore into: of the whole state, or of its
            variables alone.

        Raises:
          DamagedCheckpointError: it is incomplete, or its values are not those that were saved.
        """
        meta, wanted = self._meta(step), _parts(like)
        arguments = ocp.checkpoint_utils.construct_restore_args(wanted)
        parts = self._read(
            step, state=ocp.args.PyTreeRestore(wanted, arguments, partial_restore=True)
        )
        _check_values(step, parts, meta)
        return _from_parts(like, parts), meta

    def variables(self, step: int) -> dict[str, Any]:
        """Reads the variables to evaluate with, of whatever network.

        Raises:
          DamagedCheckpointError: as `restore`.
        """
        meta = self._meta(step)
        # As arrays of this host: the devices that they were on need not be here.
        wanted = jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray), self._saved_tree(step)
        )
        parts = self._read(step, state=ocp.args.PyTreeRestore(restore_args=wanted))
        _check_values(step, parts, meta)
        rest = {n: part for n, part in parts.items() if n not in ("step", "ema", "opt_state")}
        return parts.get("ema") or rest

    def _meta(self, step: int) -> dict[str, Any]:
        """Reads the metadata that was saved with a state."""
        if step not in self._metas:
            meta = self._read(step, meta=ocp.args.JsonRestore())
            stored = meta.pop("sha256_meta", None) if isinstance(meta, dict) else None
            if stored is None or stored != digest([step, meta]):
                raise DamagedCheckpointError(
                    f"step {step}: its metadata differs from what was saved"
                )
            if meta.get("sha256_form") != FORM:
                raise DamagedCheckpointError(
                    f"step {step}: another version of this code wrote it; use that commit"
                )
            self._metas[step] = meta
        return self._metas[step]

    def _saved_tree(self, step: int) -> Any:
        with _told_by_all(step):
            return self._manager.item_metadata(step)["state"].tree

    def _read(self, step: int, **item: Any) -> Any:
        with _told_by_all(step):
            return self._manager.restore(step, args=ocp.args.Composite(**item))[next(iter(item))]

    def restore_newest(
        self, like: TrainState
    ) -> tuple[tuple[TrainState, dict[str, Any]] | None, list[str]]:
        """Reads the newest intact checkpoint; moves all damaged ones aside, older ones included.

        Returns:
          (state, meta), or None where there is no checkpoint; and a sentence for each damaged one.

        Raises:
          UserError: there are checkpoints, but none can be read.
        """
        files = [p for p in self.directory.iterdir() if p.name.isdecimal() and not p.is_dir()]
        found, damaged = None, {int(p.name): f"step {p.name}: is not a folder" for p in files}
        for step in reversed(self.steps()):
            try:
                restored = self.restore(step, like)
            except DamagedCheckpointError as error:
                damaged[step] = str(error)
                continue
            found = found or restored
        sentences = list(damaged.values())
        if damaged and not found:
            raise UserError(
                f"{self.directory}: no checkpoint can be read ({'; '.join(sentences)}); "
                "restore the folder from a copy, or remove the run folder to start over"
            )
        # A later step left in place would make Orbax refuse to save the steps before it.
        self._move({step: free_name(self.directory / f"damaged-{step}") for step in damaged})
        return found, sentences

    def wait(self) -> None:
        """Waits until the last save is complete on disk, then deletes superseded checkpoints.

        Raises:
          UserError: it failed, for example because the disk is full; earlier ones stay good.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._failure(None, error) from error
        scores = {step: self._meta(step)["score"] for step in self.steps()}
        superfluous = scores.keys() - _kept(scores, self._keep)
        moved = {step: self.directory / f"{step}{_DELETED}" for step in superfluous}
        self._move(moved)
        if is_first():
            for path in filter(Path.exists, moved.values()):
                shutil.rmtree(path)

    def _move(self, paths: dict[int, Path]) -> None:
        if not paths:
            return
        if is_first():
            for step, path in paths.items():
                # A user may have deleted it to free space.
                with suppress(FileNotFoundError):
                    (self.directory / str(step)).rename(path)
        wait_for_all("checkpoints moved")
        self._manager.reload()
        for step in paths:
            self._metas.pop(step, None)

    def close(self) -> None:
        """Ends the background threads, after the last save.

        Raises:
          UserError: as `wait`.
        """
        try:
            self._manager.close()
        except Exception as error:
            raise self._failure(None, error) from error

    def _failure(self, step: int | None, reason: object) -> UserError:
        folder = RunFolder(self.directory.parent)
        if not folder.config_file.is_file():
            return UserError(moved_away(folder.path))
        which = "the last checkpoint" if step is None else f"the checkpoint of step {step}"
        return UserError(
            f"{self.directory}: {which} could not be saved ({_short(reason)}); "
            f"earlier ones are good: {self.steps() or 'none'}; free some space and run it again"
        )


@contextmanager
def _told_by_all(step: int) -> Iterator[None]:
    """Context of a read; a failure on one host marks the checkpoint as damaged on all."""
    reason = cause = None
    try:
        yield
    except Exception as error:
        cause, reason = error, next(iter(str(error).splitlines()), type(error).__name__)
    if reason := next(filter(None, gather("read", reason)), None):
        raise DamagedCheckpointError(f"step {step}: {reason}") from cause


def _kept(scores: Mapping[int, float | None], keep: int) -> set[int]:
    """Returns the steps to keep: the newest few, the earliest of the best, and two at least."""
    steps = sorted(scores)
    kept = set(steps[-keep:])
    scored = [step for step in steps if scores[step] is not None]
    if scored:
        kept.add(max(scored, key=lambda step: (scores[step], -step)))
    return kept if len(kept) > 1 else set(steps[-2:])


def _short(reason: object) -> str:
    """Returns the reason of a failed write, without the notes of the storage library."""
    text = next(iter(str(reason).splitlines()), type(reason).__name__)
    code = re.search(r"os_error_code='(\d+)'", text)
    return os.strerror(int(code[1])) if code else text


def _check_finite(parts: dict[str, Any], step: int) -> None:
    found = next(not_finite(parts), None)
    if found := next(filter(None, gather("finite", found)), None):
        raise NonFiniteStateError(f"{found} is not finite after step {step}")


def _check_values(step: int, parts: dict[str, Any], meta: dict[str, Any]) -> None:
    if checksums(parts) != {name: meta["sha256"].get(name) for name in parts}:
        raise DamagedCheckpointError(f"step {step}: its values differ from those that were saved")


def _to_write(tree: Any) -> Any:
    """Returns copies on the host of what this process holds whole, which process 0 writes.

    The copies stay valid when the next step reuses the buffers. With Orbax alone, each device
    would write a part, which takes twice the CPU time for states of this size. Arrays sharded
    over hosts are not copied here: each host writes its part, which Orbax copies before it
    returns.
    """

    return jax.tree.map(lambda x: np.array(x) if is_whole(x) else x, tree)


def _parts(state: ModelState) -> dict[str, Any]:
    """Returns the parts of a checkpoint: each collection of variables is one, by its name."""
    parts = serialization.to_state_dict(state)
    return parts.pop("collections") | parts


def _from_parts(like: S, parts: dict[str, Any]) -> S:
    rest = {name: value for name, value in parts.items() if name not in like.collections}
    collections = {name: parts[name] for name in like.collections}
    return serialization.from_state_dict(like, rest | {"collections": collections})
