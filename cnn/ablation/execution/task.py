"""The task of a job array, and its share of the runs."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cnn.config.entry import number_of
from cnn.config.errors import UserError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Task:
    """One of several processes, possibly on several hosts, that share a study.

    Attributes:
      index: from 0.
      count: number of tasks; 0 if unknown.
    """

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def share(self, runs: Sequence[Item]) -> list[Item]:
        """Returns the runs that this task starts with: every count-th; all if count is 0."""
        return list(runs[self.index :: self.count] if self.count else runs)

    def order(self, runs: Sequence[Item]) -> list[Item]:
        """Returns all runs, those of its share first."""
        if not self.count:
            start = self.index % max(1, len(runs))
            return [*runs[start:], *runs[:start]]
        rest = [run for i, run in enumerate(runs) if i % self.count != self.index]
        return [*self.share(runs), *rest]


def parse_task(text: str) -> Task:
    """Parses "i/n", i from 0; n is 0 if the number of tasks is unknown.

    Raises:
      UserError: not of that form, or no such task.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match:
        raise UserError(f"--task: '{text}' is not like 0/4, the first of four tasks")
    index, count = int(match[1]), int(match[2])
    if count and index >= count:
        raise UserError(f"--task: '{text}': tasks are counted from 0, so the last is {count - 1}")
    return Task(index, count)


def find_task(text: str | None, environment: Mapping[str, str] = os.environ) -> Task:
    """Returns the task that --task names, else that of a Slurm array or a Kubernetes indexed job.

    Slurm provides the number of tasks; Kubernetes does not, so each task starts at another run.

    Raises:
      UserError: see `parse_task`, or a variable of these holds no number.
    """
    if text is not None:
        return parse_task(text)
    if "SLURM_ARRAY_TASK_ID" in environment:
        number, first, step, count = (
            number_of(f"SLURM_ARRAY_TASK_{name}", default, environment)
            for name, default in (("ID", 0), ("MIN", 0), ("STEP", 1), ("COUNT", 0))
        )
        if not step:
            raise UserError("SLURM_ARRAY_TASK_STEP: '0' is no step; correct or unset the variable")
        # Ids may have gaps, as in --array=1,5,9: then the starting point is approximate.
        index = (number - first) // step
        return Task(index % count if count else index, count)
    if "JOB_COMPLETION_INDEX" in environment:
        return Task(number_of("JOB_COMPLETION_INDEX", 0, environment), 0)
    return Task()
