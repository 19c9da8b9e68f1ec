"""Page section on shifts."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.evaluation.suite import MeasuredRun, Results, called
from cnn.pages import page
from cnn.pages.curves import Curve, curves
from cnn.pages.page import Cell, Column, details, figure, heat_map, sortable_table

NAMES = {
    "circular_per_batch": "Circular pairs, shifts per batch",
    "circular_per_image": "Circular pairs, shifts per image",
    "circular_grid": "Circular grid",
    "all_shifts": "All circular shifts",
    "fractional_grid": "Subpixel shifts",
    "crop_per_batch": "Random crops, offsets per batch",
    "crop_per_image": "Random crops, offsets per image",
    "diagonal": "Crops along the diagonal",
    "time_per_clip": "Pairs of shifts in time",
    "time_path": "Shifts in time",
}
COLUMNS = {
    "consistency": ("consistency", "two random shifts give the same class"),
    "accuracy": ("accuracy", "mean over the shifts"),
    "joint": ("joint", "two random shifts both give the correct class"),
    "worst_case": ("worst case", "correct at every shift"),
    "stable": ("stable", "the same class at every shift, correct or not"),
    "flips": ("flips", "changes of the prediction along the path, per example"),
    "deviation": ("SD of p", "standard deviation of the correct class's probability on the path"),
}
NOTE = (
    "Shares of {many} in percent, with 95 % intervals: Wilson intervals over {many}, or Student t "
    "intervals over batches where the {many} of a batch share their shifts. The intervals cover "
    "other {many}, not other training runs."
)


def shift_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of results, curves and heat maps."""
    heads = [Column("run"), Column("protocol")]
    heads += [Column(title, numeric=True, hint=hint) for title, hint in COLUMNS.values()]
    rows = [
        [
            Cell(run.name),
            Cell(NAMES[name]),
            *(_cell(run.results[name], c) for c in COLUMNS),
        ]
        for run in runs
        for name in NAMES
        if name in run.results
    ]
    abouts = {NAMES[n]: run.results[n]["about"] for run in runs for n in NAMES if n in run.results}
    remarks = [page.note(f"{run.name}: {why}") for run in runs for why in run.results["left_out"]]
    protocols = details("The protocols", page.definitions(list(abouts.items())))
    parts = (sortable_table(heads, rows), protocols, *remarks, *_charts(runs))
    return page.section("Shifts", *parts, note=NOTE.format(many=called(runs)))


def _cell(results: Results, name: str) -> Cell:
    value = results.get(name)
    if value is None:
        return Cell("")
    if name in ("flips", "deviation"):
        return Cell(f"{value:.3f}", value)
    interval = results.get(f"{name}_interval")
    if not interval:
        return Cell(f"{100 * value:.2f}", value)
    low, high = (f"{100 * end:.1f}" for end in interval)
    return Cell(f"{100 * value:.2f}", value, small=f"{low} to {high}")


def _charts(runs: Sequence[MeasuredRun]) -> list[Markup]:
    charts = []
    lines = [
        Curve(run.name, _diagonal(run.results["diagonal"]))
        for run in runs
        if "diagonal" in run.results
    ]
    if lines:
        chart = curves(
            lines,
            x_format=lambda v: f"{v:g}",
            y_format=lambda v: f"{v:.3g}",
            x_label="offset of the crop along the diagonal, in pixels",
            y_label="accuracy in percent",
            description="accuracy at each crop along the diagonal",
        )
        charts.append(figure("Accuracy along the diagonal", chart))
    for unit, label in (
        ("milliseconds", "shift of the wave, in milliseconds"),
        ("frames", "shift of the clip, in frames"),
    ):
        in_time = [
            Curve(run.name, _diagonal(run.results["time_path"], run.results[f"{unit}_per_step"]))
            for run in runs
            if f"{unit}_per_step" in run.results and "time_path" in run.results
        ]
        if in_time:
            chart = curves(
                in_time,
                x_format=lambda v: f"{v:g}",
                y_format=lambda v: f"{v:.3g}",
                x_label=label,
                y_label="accuracy in percent",
                description="accuracy at each shift in time",
            )
            charts.append(figure("Accuracy under shifts in time", chart))
    for name in ("circular_grid", "fractional_grid"):
        found = [figure(run.name, _map(run.results[name])) for run in runs if name in run.results]
        if found:
            title = f"{NAMES[name]}: accuracy in percent by pixels down (rows) and right (columns)"
            charts.append(figure(title, page.pair(*found)))
    return charts


def _diagonal(results: Results, unit: float = 1.0) -> list[tuple[float, float]]:
    pairs = zip(results["shifts"], results["accuracy_at"], strict=True)
    return [(unit * shift[0], 100 * accuracy) for shift, accuracy in pairs]


def _map(results: Results) -> Markup:
    at = {tuple(s): 100 * a for s, a in zip(results["shifts"], results["accuracy_at"], strict=True)}
    down, across = (sorted({shift[axis] for shift in at}) for axis in (0, 1))
    rows = [(_pixels(i), [at[i, j] for j in across]) for i in down]
    return heat_map([_pixels(j) for j in across], rows)


def _pixels(shift: float) -> str:
    return f"{shift:g}".replace("-", "\N{MINUS SIGN}")
