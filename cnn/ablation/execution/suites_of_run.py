"""What a study asks eval.py to measure on a run, beside its accuracy."""

import json
from collections.abc import Callable

from cnn.ablation.planning.study_plan import Run
from cnn.evaluation.checkpointed_run import open_run
from cnn.evaluation.measuring import measure
from cnn.evaluation.suite import Asked, ResultFile
from cnn.evaluation.suites import SUITES, chosen
from cnn.training.run_folder import RunFolder

SPLIT = "test"


def missing(run: Run) -> list[Asked]:
    """Returns the suites of a finished run that were not measured to their end as asked."""
    asked = [suite for text in run.suites for suite in chosen(text)]
    return [suite for suite in asked if not _is_there(run, suite)]


def measure_missing(run: Run, alive: Callable[[], None]) -> None:
    """Measures the rest of them, on the last checkpoint; `alive` is called on the way.

    Raises:
      UserError: a suite does not fit the run.
    """
    left = missing(run)
    opened = open_run(str(run.folder), split=SPLIT) if left else None
    for suite in left:
        measure(opened, SPLIT, suite, quiet=True, alive=alive)


def _is_there(run: Run, suite: Asked) -> bool:
    folder = RunFolder(run.folder)
    file, result = ResultFile(folder, suite.name).path, folder.result()
    if result is None or not file.is_file():
        return False
    record = json.loads(file.read_text())
    options = json.loads(json.dumps(SUITES[suite.name].defaults() | dict(suite.options)))
    expected = (True, result["step"], SPLIT, options)
    return tuple(record[n] for n in ("complete", "step", "split", "options")) == expected
