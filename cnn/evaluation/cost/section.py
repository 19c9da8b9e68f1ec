"""Page section on cost."""

from collections.abc import Sequence

from markupsafe import Markup

from cnn.cost.table import QUANTITIES, shown_count
from cnn.evaluation.suite import MeasuredRun, Results, called
from cnn.pages import page
from cnn.pages.page import Cell, Column, details, sortable_table

NOTE = (
    "MACs are multiply-accumulates of convolutions, linear maps and filters per {one}, counted "
    "from shapes, without norms, activations and sums. Other operations are comparisons, means, "
    "exponentials and transforms of operators. Speed is the median of individually timed calls on "
    "one device, without reading data; compare results of one device only. Memory is what XLA "
    "planned for one call."
)


def cost_section(runs: Sequence[MeasuredRun]) -> Markup:
    """Returns a table of the runs and a table of layers per run."""
    one, many = called(runs, plural=False), called(runs)
    columns = [
        Column("run"),
        *(
            Column(label, numeric=True, hint=hint)
            for label, hint in (
                ("MACs", f"of one {one}"),
                ("parameters", None),
                ("activations", "output elements of convolutions and linear maps"),
                (f"{many}/s", "throughput at evaluation.batch_size"),
                ("latency, ms", f"of one {one}, median"),
                ("p99, ms", "of the latency"),
                ("training step, ms", "at train.batch_size, median"),
                ("training memory, MiB", "as XLA planned it"),
                ("peak memory, MiB", "of the process, if the backend reports it"),
            )
        ),
        Column("device"),
    ]
    rows = [_row(run) for run in runs]
    layers = [details(f"Layers of {run.name}", _layers(run.results)) for run in runs]
    return page.section("Cost", sortable_table(columns, rows), *layers, note=NOTE.format(one=one))


def _row(run: MeasuredRun) -> list[Cell]:
    total, measured = run.results["total"], run.results.get("measured")
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


def _layers(results: Results) -> Markup:
    names = ("parameters", "MACs", "other operations", "activations", "bytes")
    columns = [Column("layer"), Column("kind"), Column("output")]
    columns += [Column(name, numeric=True) for name in names]
    rows = [
        [
            Cell(layer["name"]),
            Cell(layer["kind"]),
            Cell(" x ".join(map(str, layer["output"]))),
            *(Cell(shown_count(layer[quantity]), layer[quantity]) for quantity in QUANTITIES),
        ]
        for layer in results["layers"]
    ]
    return sortable_table(columns, rows)
