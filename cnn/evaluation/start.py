"""Evaluation from the command line."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnn.config.atomic import write_atomically
from cnn.config.call import split_calls
from cnn.config.errors import UserError
from cnn.config.plugin import check_plugins
from cnn.evaluation.accuracy.suite import print_accuracy
from cnn.evaluation.checkpointed_run import CheckpointedRun, open_run
from cnn.evaluation.eval_page import names_of, write_page
from cnn.evaluation.results import ResultFile
from cnn.evaluation.run_suite import run_suite
from cnn.evaluation.suite import Asked, Results
from cnn.evaluation.suites import SUITES, chosen
from cnn.training.mesh import check_platform, count_cores_as_devices
from cnn.training.run_folder import RunFolder, check_output
from cnn.training.start import use_compilation_cache


@dataclass(frozen=True)
class EvaluationRequest:
    """The command-line arguments of eval.py.

    Attributes:
      workdirs: run folders.
      checkpoint: DIR/checkpoints/N, instead of a run folder and a step.
      step: last, best or a number.
      split: test, validation or train.
      suite: "a,b(option=value)" or all, see `suites.chosen`.
      out: file to which the last line is also written.
      page: file of the page; None: in the first run's folder.
      names: names of the runs on the page, one per run; (): the folder names.
      overrides: "field=value", applied to all runs.
    """

    workdirs: tuple[str, ...]
    checkpoint: str | None
    step: str | None
    split: str
    suite: str
    out: str | None
    page: str | None
    overrides: tuple[str, ...]
    names: tuple[str, ...] = ()


def locate(
    workdirs: Sequence[str], checkpoint: str | None, step: str | None
) -> tuple[tuple[str, ...], str]:
    """Returns the run folders and the step, from --workdir or from --checkpoint=DIR/checkpoints/N.

    Raises:
      UserError: neither or both are given, or a folder is given twice.
    """
    if checkpoint is None:
        if not workdirs:
            raise UserError("--workdir: required; give the run folder that train.py wrote")
        if len({Path(w).resolve() for w in workdirs}) < len(workdirs):
            raise UserError("--workdir: the same folder is given twice; give each run once")
        return tuple(workdirs), step or "last"
    path = Path(checkpoint).absolute()
    run = path.parent.parent
    if workdirs or step:
        raise UserError(
            "--checkpoint: already specifies folder and step; drop --workdir and --step"
        )
    if not (run / "config.json").is_file():
        raise UserError(
            f"--checkpoint: {checkpoint} is not in a run folder, and a checkpoint needs its "
            "run's config.json; give --workdir=DIR, where DIR contains config.json and checkpoints/"
        )
    return (str(run),), path.name


def start(request: EvaluationRequest) -> None:
    """Runs every suite on every run, writes the page, and prints one JSON line last."""
    workdirs, step = locate(request.workdirs, request.checkpoint, request.step)
    _check_names(request.names, len(workdirs))
    for option, file in (("--out", request.out), ("--page", request.page)):
        if file:
            check_output(Path(file), option)
    page = Path(request.page or RunFolder(workdirs[0]).path / "evaluation" / "eval.html")
    if request.out and os.path.realpath(request.out) == os.path.realpath(page):
        raise UserError(f"--out: {request.out} is the file of the page; give another")
    for folder in map(RunFolder, workdirs):
        # Before the suites, which may be a plugin's.
        check_plugins(folder.config().plugins, str(folder.path))
    suites = chosen(request.suite)
    use_compilation_cache()
    count_cores_as_devices()
    check_platform()
    runs = [open_run(workdir, step, request.split, request.overrides) for workdir in workdirs]
    named = dict(zip(request.names or names_of(runs), runs, strict=True))
    for run in runs:
        # Opened now, so that remarks about the data come first.
        run.split(request.split)
        for remark in (*run.remarks, *run.evaluator.dataset.remarks):
            Console(soft_wrap=True).print(remark, markup=False, highlight=False)
    for suite in suites:
        for run in runs:
            _measure(run, request, suite, len(suites) + len(runs) > 2)
            # After each suite, so that an interrupted evaluation leaves a page of what is done.
            for remark in write_page(page, named, request.split, suites):
                Console(stderr=True, soft_wrap=True).print(remark, markup=False, highlight=False)
    line = json.dumps(_last_line(runs, request.split, suites, page))
    if request.out:
        write_atomically(Path(request.out), line + "\n")
    print(line)


def _check_names(names: Sequence[str], runs: int) -> None:
    if names and (len(names) != runs or len(set(names)) < runs):
        raise UserError(
            f"--name: {len(names)} names, not all distinct or not one for each of {runs} runs; "
            "give one name per run, in the order of --workdir"
        )


def _measure(run: CheckpointedRun, request: EvaluationRequest, suite: Asked, several: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if several:
        console.print(f"{suite.name} of {run.folder.path}", markup=False)
    try:
        results = run_suite(run, request.split, suite)
    except UserError as error:
        if "all" not in split_calls(request.suite):
            raise
        # This suite does not fit the run or the data set, but others may.
        console.print(f"{suite.name} is skipped: {error}", markup=False)
        return
    if suite.name == "accuracy":
        print_accuracy({"step": run.step, "split": request.split} | results)
    else:
        _print_metrics(suite.name, results, f"{request.split} split, step {run.step}", console)


def _print_metrics(suite: str, results: Results, about: str, console: Console) -> None:
    """Prints the metrics that a suite declares, each in its unit."""
    found = [(metric, metric.find(results)) for metric in SUITES[suite].metrics]
    known = [(metric, value) for metric, value in found if value is not None]
    if not known:
        return
    table = Table(title=f"{suite}, {about}")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for metric, value in known:
        table.add_row(Text(metric.label), f"{metric.scale * value:.4g} {metric.unit}".rstrip())
    console.print(table)


def _last_line(
    runs: Sequence[CheckpointedRun], split: str, suites: Sequence[Asked], page: Path
) -> dict[str, object]:
    """Returns the results of `accuracy` alone on a single run, otherwise the result paths."""
    files = {
        run.folder.path: [
            ResultFile.of(run.folder, suite, run.step, split, run.changes) for suite in suites
        ]
        for run in runs
    }
    if len(runs) == 1 and [suite.name for suite in suites] == ["accuracy"]:
        [(path, [file])] = files.items()
        return {"workdir": str(path), "step": file.step, "split": split} | file.read()
    results = {
        str(path): {
            "step": own[0].step,
            "files": {file.suite: str(file.path) for file in own if file.is_complete()},
        }
        for path, own in files.items()
    }
    return {"split": split, "page": str(page.absolute()), "runs": results}
