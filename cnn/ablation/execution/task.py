"""Which task of a job array this is, and where in the study it begins."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cnn.config.errors import UserError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Task:
    """One of several processes, maybe on other hosts, that share a study.

    Attributes:
      index: from 0.
      count: of tasks; 0 where that is not known.
    """

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def share(self, runs: Sequence[Item]) -> list[Item]:
        """Returns the runs that this task begins with: every count-th; all if it is not known."""
        return list(runs[self.index :: self.count] if self.count else runs)

    def order(self, runs: Sequence[Item]) -> list[Item]:
        """Returns all runs, its share first: whatever the other tasks leave is done too."""
        if not self.count:
            start = self.index % max(1, len(runs))
            return [*runs[start:], *runs[:start]]
        rest = [run for i, run in enumerate(runs) if i % self.count != self.index]
        return [*self.share(runs), *rest]


def parse_task(text: str) -> Task:
    """Reads "i/n", i from 0; n is 0 where the number of tasks is not known.

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

    Slurm tells the number of tasks; Kubernetes does not, and there every task begins elsewhere.

    Raises:
      UserError: see `parse_task`.
    """
    if text is not None:
        return parse_task(text)
    if "SLURM_ARRAY_TASK_ID" in environment:
        number, first, step, count = (
            int(environment.get(f"SLURM_ARRAY_TASK_{name}", default))
            for name, default in (("ID", 0), ("MIN", 0), ("STEP", 1), ("COUNT", 0))
        )
        # Ids may have gaps, as in --array=1,5,9: then where a task begins is approximate.
        index = (number - first) // step
        return Task(index % count if count else index, count)
    if "JOB_COMPLETION_INDEX" in environment:
        return Task(int(environment["JOB_COMPLETION_INDEX"]), 0)
    return Task()
