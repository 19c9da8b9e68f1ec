"""The commands of ablate.py: run and report."""

from pathlib import Path

from cnn.ablation.plan import load_study
from cnn.config.errors import UserError


def run(config: str, workdir: str, workers: int) -> None:
    """Trains what is not finished, and reports."""
    from cnn.ablation.runner import run_study

    if workers < 1:
        raise UserError(f"--workers: {workers} is less than 1")
    run_study(config, Path(workdir).absolute(), workers)
    report(config, workdir)


def report(config: str, workdir: str) -> None:
    """Renders the report from the run folders alone."""
    from cnn.ablation.collect import collect
    from cnn.ablation.report import render_markdown, write_report

    folder = Path(workdir).absolute()
    study = collect(load_study(config), config, folder)
    files = write_report(study, folder)
    print(render_markdown(study))
    print("\n".join(str(file) for file in files))
