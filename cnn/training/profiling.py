"""Profiles a few steps and lists the most expensive operations."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax

from cnn.config.errors import UserError
from cnn.training.assembly import Trainer
from cnn.training.hosts import is_first

COSTLIEST = 10


@dataclass(frozen=True)
class Profile:
    """Traces the steps from `first` to `last` into the run folder.

    Attributes:
      first: step, from 1.
      last: step; it is traced too.
      folder: that the trace is written to, for TensorBoard's or XProf's profile plugin.
    """

    first: int
    last: int
    folder: Path

    @classmethod
    def parse(cls, text: str, folder: Path) -> "Profile":
        """Reads "10:15".

        Raises:
          UserError: the text is not two steps in order.
        """
        match = re.fullmatch(r"([1-9]\d*):([1-9]\d*)", text)
        if not match or int(match[1]) > int(match[2]):
            raise UserError(f"--profile: '{text}' is not a range of steps; for example 10:15")
        return cls(int(match[1]), int(match[2]), folder)

    def of(self, trainer: Trainer) -> Trainer:
        """Returns the trainer with an update that profiles those steps and prints the result.

        Steps before a restart are not traced again.
        """
        last = min(self.last, trainer.plan.total_steps)
        begun: int | None = None

        def update(state: Any, seeds: Any, arrays: Any, batch: Any) -> Any:
            nonlocal begun
            step = int(state.step) + 1
            if begun is None and self.first <= step <= last:
                begun = step
                jax.profiler.start_trace(str(self.folder))
            program = step == last and trainer.update.lower(state, seeds, arrays, batch)
            done = trainer.update(state, seeds, arrays, batch)
            if program and begun is not None:
                jax.block_until_ready(done)
                jax.profiler.stop_trace()
                if is_first():
                    self._tell(program.compile().as_text(), begun, last)
            return done

        return replace(trainer, update=update)

    def _tell(self, program: str, first: int, last: int) -> None:
        print(f"steps {first} to {last} are traced in {self.folder}; per step:")
        for seconds, share, name, where in costliest(self.folder, program, last - first + 1):
            print(f"  {1e3 * seconds:9.3f} ms {share:6.1%}  {name}  {where}")


def costliest(
    folder: Path, program: str, steps: int, count: int = COSTLIEST
) -> list[tuple[float, float, str, str]]:
    """Returns (seconds per step, share of all operations, operation, layer), longest first.

    Args:
      folder: of the trace; its newest one counts.
      program: HLO text of the traced program, whose metadata name the layer of each operation.
      steps: that were traced.
      count: operations to return.
    """
    file = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    taken: Counter[str] = Counter()
    for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
        for line in plane.lines:
            for event in line.events:
                operation = dict(event.stats).get("hlo_op")
                if operation:
                    taken[operation] += event.duration_ns * 1e-9
    total = sum(taken.values()) or 1.0
    layers = _layers(program)
    return [
        (seconds / steps, seconds / total, name, layers.get(name, ""))
        for name, seconds in taken.most_common(count)
    ]


def _layers(program: str) -> dict[str, str]:
    """Returns, for each operation of an HLO text, where in the network it comes from."""
    found = re.findall(r"%?([\w.-]+) = [^\n]*metadata=\{[^}]*op_name=\"([^\"]*)\"", program)
    return {name: re.sub(r"^jit\(\w+\)/", "", where) for name, where in found}
