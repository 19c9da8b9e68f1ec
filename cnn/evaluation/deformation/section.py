"""Page section on deformations."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun
from cnn.pages import page
from cnn.pages.page import Cell, Column, sortable_table

NOTE = (
    "Cosine distance between a layer's feature maps of an image and of its deformation, divided by "
    "the median distance between its maps of two images (after Ruderman et al., 2018): 0 is "
    "invariant, 1 is as different as another image. Deformations are thin-plate splines through "
    "displaced control points, with a fixed border."
)


def deformation_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of the sensitivity per layer and run."""
    names = list(dict.fromkeys(name for run in runs for name in run.results["layers"]))
    columns = [Column("layer"), *(Column(run.name, numeric=True) for run in runs)]
    rows = [
        [Cell(name), *(_cell(run.results["layers"].get(name)) for run in runs)] for name in names
    ]
    settings = page.definitions(
        [
            (
                run.name,
                f"{run.results['count']:,} images, {run.results['points']} x "
                f"{run.results['points']} control points, up to "
                f"{run.results['displacement']:g} pixels",
            )
            for run in runs
        ]
    )
    return page.section("Deformations", sortable_table(columns, rows), settings, note=NOTE)


def _cell(value: float | None) -> Cell:
    return Cell("n/a" if value is None else f"{value:.3f}", value)
