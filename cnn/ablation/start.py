"""The commands of ablate.py: run and report."""

from pathlib import Path

from cnn.ablation.plan import load_study
from cnn.ablation.study_folder import StudyFolder
from cnn.config.errors import UserError


def run(config: str, workdir: str, workers: int, overrides: list[str]) -> None:
    """Trains what is not finished, and reports."""
    from cnn.ablation.runner import run_study

    if workers < 1:
        raise UserError(f"--workers: {workers} is less than 1")
    folder = StudyFolder(Path(workdir).absolute())
    folder.begin(load_study(config, overrides), config, overrides)
    run_study(folder, workers)
    report(workdir)


def report(workdir: str) -> None:
    """Renders the report from the run folders alone."""
    from cnn.ablation.collect import collect
    from cnn.ablation.report import render_markdown, write_report

    folder = StudyFolder(Path(workdir).absolute())
    study = collect(folder)
    files = write_report(study, folder.path)
    print(render_markdown(study))
    print("\n".join(str(file) for file in files))
