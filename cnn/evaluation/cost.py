"""What a run's network costs: counted from shapes, and measured on this machine."""

from collections.abc import Sequence
from dataclasses import asdict

from markupsafe import Markup

from cnn.config.metric import Metric
from cnn.cost.count import count
from cnn.cost.measure import measure as measure_speed
from cnn.cost.table import FIGURES
from cnn.evaluation.checkpointed_run import CheckpointedRun
from cnn.evaluation.suite import Figures, Measured, Progress, called
from cnn.pages import page
from cnn.pages.page import Cell, Column, details, sortable_table

METRICS = (
    Metric("total, macs", "MACs per example", "MACs", "MACs", False, "multiply-accumulates"),
    Metric("total, parameters", "Parameters", "parameters", "", False, "learned numbers"),
    Metric(
        "total, activations",
        "Activations per example",
        "activations",
        "",
        False,
        "elements that convolutions and linear maps write",
    ),
    Metric(
        "measured, throughput, images_per_second",
        "Throughput",
        "throughput",
        "examples/s",
        True,
        "at evaluation.batch_size, on one device",
    ),
    Metric(
        "measured, latency, median",
        "Latency",
        "latency",
        "ms",
        False,
        "of one example, median",
        scale=1e3,
    ),
    Metric(
        "measured, train_step, median",
        "Training step",
        "training step",
        "ms",
        False,
        "at train.batch_size on one device, median",
        scale=1e3,
    ),
)
NOTE = (
    "MACs are multiply-accumulates of convolutions, linear maps and filters for one {one}, counted "
    "from shapes; norms, activations and sums are left out. Other operations are comparisons, "
    "means, exponentials and transforms of operators. Speed is of one device, data reading left "
    "out: medians of calls timed one by one; compare only figures of one device. Memory is what "
    "XLA planned for one call."
)


def measure(run: CheckpointedRun, split: str, progress: Progress) -> Figures:
    """Counts the network, then measures it; see `cnn.cost.count` and `cnn.cost.measure`.

    The split is not read: costs do not depend on it.
    """
    cost = count(run.evaluator.model, run.evaluator.dataset.input_shape)
    counted = {
        "input_shape": list(run.evaluator.dataset.input_shape),
        "total": {figure: cost.total(figure) for figure in FIGURES},
        "layers": [asdict(layer) for layer in cost.layers],
    }
    progress.keep(counted)
    return counted | {"measured": measure_speed(run.evaluator, run.variables, progress.show)}


def section(runs: Sequence[Measured]) -> Markup:
    """A table of the runs, and for each run one of its layers."""
    one, many = called(runs, plural=False), called(runs)
    columns = [
        Column("run"),
        *(
            Column(label, numeric=True, hint=hint)
            for label, hint in (
                ("MACs", f"of one {one}"),
                ("parameters", None),
                ("activations", "elements that convolutions and linear maps write"),
                (f"{many}/s", "throughput at evaluation.batch_size"),
                ("latency, ms", f"of one {one}, median"),
                ("p99, ms", "of the latency"),
                ("training step, ms", "at train.batch_size, median"),
                ("training memory, MiB", "as XLA planned it"),
                ("peak memory, MiB", "of the process, where the backend tells"),
            )
        ),
        Column("device"),
    ]
    rows = [_row(run) for run in runs]
    layers = [details(f"Layers of {run.name}", _layers(run.figures)) for run in runs]
    return page.section("Cost", sortable_table(columns, rows), *layers, note=NOTE.format(one=one))


def _row(run: Measured) -> list[Cell]:
    total, measured = run.figures["total"], run.figures.get("measured")
    cells = [Cell(run.name)]
    cells += [Cell(_short(total[n]), total[n]) for n in ("macs", "parameters", "activations")]
    if measured is None:
        return [*cells, *([Cell("not yet")] * 6), Cell("")]
    latency, step = measured["latency"], measured["train_step"]
    throughput = measured["throughput"]["images_per_second"]
    cells.append(Cell(f"{throughput:,.0f}", throughput))
    for seconds in (latency["median"], latency["p99"], step["median"]):
        cells.append(Cell(f"{1e3 * seconds:,.2f}", seconds))
    for size in (measured["planned_bytes"]["training"], measured["peak_bytes"]):
        cells.append(Cell("n/a" if size is None else f"{size / 2**20:,.1f}", size))
    return [*cells, Cell(measured["device"])]


def _short(value: float | None) -> str:
    if value is None:
        return "n/a"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:,}"


def _layers(figures: Figures) -> Markup:
    names = ("parameters", "MACs", "other operations", "activations", "bytes")
    columns = [Column("layer"), Column("kind"), Column("output")]
    columns += [Column(name, numeric=True) for name in names]
    rows = [
        [
            Cell(layer["name"]),
            Cell(layer["kind"]),
            Cell(" x ".join(map(str, layer["output"]))),
            *(Cell(f"{layer[figure]:,}", layer[figure]) for figure in FIGURES),
        ]
        for layer in figures["layers"]
    ]
    return sortable_table(columns, rows)
