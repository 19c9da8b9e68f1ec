"""Table of a network's layers and their costs, for the terminal."""

from rich.box import SIMPLE
from rich.table import Table

from cnn.cost.count import NetworkCost

QUANTITIES = ("parameters", "macs", "operations", "activations", "bytes")


def cost_table(title: str, cost: NetworkCost) -> Table:
    """Returns a table with a row for each layer, of one image, and the totals."""
    table = Table(title=title, box=SIMPLE, title_justify="left")
    for column in ("layer", "kind", "output"):
        table.add_column(column, no_wrap=True)
    for column in ("parameters", "MACs", "other ops", "activations", "bytes"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in cost.layers:
        shape = " x ".join(map(str, layer.output))
        shown = (shown_count(getattr(layer, quantity)) for quantity in QUANTITIES)
        table.add_row(layer.name, layer.kind, shape, *shown)
    table.add_section()
    table.add_row("total", "", "", *(shown_count(cost.total(quantity)) for quantity in QUANTITIES))
    return table


def shown_count(value: int | None) -> str:
    """Returns a number with separators; "n/a" for None."""
    return "n/a" if value is None else f"{value:,}"
