"""Page section on corruptions."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun
from cnn.pages import page
from cnn.pages.page import Cell, Column, figure, heat_map, sortable_table

NOTE = (
    "Errors in percent under the 15 corruptions of Hendrycks & Dietterich (ICLR 2019) at five "
    "severities. Generated corruptions use the published parameters with other random draws; frost "
    "uses a generated texture instead of the benchmark's photographs, so its results cannot be "
    "compared with published ones. CIFAR-10-C stores raw pixels, ImageNet-C JPEG files. mCE "
    "(ImageNet's 1000 classes only) is relative to AlexNet, which has 100 %."
)


def corruption_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of the runs, and errors by corruption and severity."""
    columns = [
        Column("run"),
        Column("corruptions"),
        Column("examples", numeric=True),
        Column("clean error", numeric=True),
        Column("mean error", numeric=True, hint="over all corruptions and severities"),
        Column("mCE", numeric=True, hint="relative to AlexNet"),
    ]
    rows, maps = [], []
    for run in runs:
        results = run.results
        shares = (_cell(results.get(name)) for name in ("clean", "mean_error", "mce"))
        count = Cell(f"{results['count']:,}", results["count"])
        rows.append([Cell(run.name), Cell(results["source"]), count, *shares])
        errors = [
            (name.replace("_", " "), [100 * e for e in values])
            for name, values in results["errors"].items()
        ]
        table = heat_map([str(s) for s in results["severities"]], errors)
        maps.append(figure(f"Error by severity, {run.name}", table))
    table = sortable_table(columns, rows)
    return page.section("Corruptions", table, page.pair(*maps), note=NOTE)


def _cell(value: float | None) -> Cell:
    return Cell("") if value is None else Cell(f"{100 * value:.2f}", value)
