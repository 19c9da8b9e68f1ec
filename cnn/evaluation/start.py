"""Evaluates from the command line."""

from collections.abc import Sequence
from pathlib import Path

from cnn.config.errors import UserError
from cnn.evaluation.accuracy import accuracy, print_figures
from cnn.evaluation.checkpointed_run import open_run
from cnn.training.start import use_compilation_cache


def locate(workdir: str | None, checkpoint: str | None, step: str | None) -> tuple[str, str]:
    """Returns the run folder and the step from --workdir, or from --checkpoint=DIR/checkpoints/N.

    Raises:
      UserError: neither says where the run is, or both are given.
    """
    if checkpoint is None:
        if workdir is None:
            raise UserError("--workdir: is missing; give the run folder that train.py wrote")
        return workdir, step or "last"
    path = Path(checkpoint).absolute()
    run = path.parent.parent
    if workdir or step:
        raise UserError("--checkpoint: says the folder and the step; leave --workdir, --step out")
    if not (run / "config.json").is_file():
        raise UserError(
            f"--checkpoint: {checkpoint} does not lie in a run folder, and a checkpoint needs its "
            "run's config.json; give --workdir=DIR, where DIR holds config.json and checkpoints/"
        )
    return str(run), path.name


def start(workdir: str, step: str, split: str, out: str | None, overrides: Sequence[str]) -> None:
    """Evaluates a checkpoint on a split and prints its figures."""
    use_compilation_cache()
    run = open_run(workdir, step, split, overrides)
    print_figures(accuracy(run, split), out)
