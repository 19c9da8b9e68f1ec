"""`python -m cnn.cost.plan --config=FILE --topology=v5e:4x4`: what a run takes on a TPU slice.

The training step is compiled for chips that need not be present. Nothing is run, so there is no
noise, but also no measurement on a real slice.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cnn.config.entry import Parser, run_command, split_overrides
from cnn.config.errors import UserError
from cnn.config.plugin import add_plugin_argument

COLUMNS = (
    "slice",
    "examples/chip",
    "GiB/chip",
    "GMACs/example",
    "MB/example",
    "MB/example (XLA)",
    "collectives",
    "MB sent",
    "ms (lower bound)",
    "bound by",
    "examples/s (upper bound)",
)

MEMORY_COLUMNS = (
    "slice",
    "examples/chip",
    "mesh.fsdp",
    "train.remat",
    "GiB/chip",
    "of that, state",
    "MB/example",
    "MB sent",
)


def main(arguments: list[str]) -> None:
    """Compiles the step for each slice and prints a table."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(
        prog="python -m cnn.cost.plan",
        description=__doc__.split("\n")[0],
        epilog="example: python -m cnn.cost.plan --config=configs/imagenet_resnet50.py "
        "--topology=v5e:4x4",
    )
    parser.add_argument("--config", required=True, help="config file, optionally with :arg")
    parser.add_argument(
        "--topology", required=True, help="TPU slices, e.g. v5e:1x1 or v5e:4x4,v5e:16x16"
    )
    parser.add_argument(
        "--per-chip",
        type=int,
        default=0,
        help="examples per chip (default 0: from train.batch_size)",
    )
    parser.add_argument(
        "--fit", action="store_true", help="find the largest number of examples per chip that fits"
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="compare a chip's memory with and without mesh.fsdp over all chips and train.remat",
    )
    parser.add_argument("--out", help="output JSON file")
    add_plugin_argument(parser)
    options = parser.parse_args(rest)
    if options.per_chip < 0 or (options.fit and options.per_chip):
        raise UserError("--per-chip: use a positive number, or --fit to find the largest that fits")
    if options.out and not Path(options.out).absolute().parent.is_dir():
        raise UserError(f"--out: the folder of '{options.out}' does not exist; create it first")
    from cnn.config.atomic import write_atomically
    from cnn.config.load import load
    from cnn.training.run_folder import check_output

    if options.out:
        check_output(Path(options.out), "--out")
    loaded = load(options.config, overrides, options.plugin)
    # The slices are only described to the compiler; this host does all computation.
    import jax

    jax.config.update("jax_platforms", "cpu")
    result = _plan_slices(loaded.config, options)
    if options.out:
        write_atomically(Path(options.out), json.dumps(result, indent=1) + "\n")


def _plan_slices(config: Any, options: Any) -> dict[str, Any]:
    """Plans every slice and prints a table; returns all numbers."""
    from rich.console import Console
    from rich.table import Table

    from cnn.config.record import fingerprint, to_plain
    from cnn.cost.count import macs
    from cnn.cost.program import plan_slice
    from cnn.cost.stand_in import open_or_stand_in
    from cnn.training.provenance import provenance

    variants = list(_variants(config, options.topology.split(","), options.memory))
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    config, dataset, description = open_or_stand_in(config)
    console.print(description, markup=False, soft_wrap=True)
    per_example = macs(config.model, dataset.input_shape, dataset.num_classes)

    table, rows = Table(*(MEMORY_COLUMNS if options.memory else COLUMNS)), []
    for place, fields in variants:
        given = options.per_chip or _share(config.train.batch_size, place)
        make = _maker(config, fields, dataset)
        rows.append(plan_slice(make, place, per_example, 0 if options.fit else given) | fields)
        table.add_row(*(memory_cells if options.memory else plan_cells)(rows[-1]))
    console.print(table)
    for row in rows:
        if not row["fits"]:
            console.print(f"{row['slice']} does not fit: {row['why']}", soft_wrap=True)
    return {
        "slices": rows,
        "fingerprint": fingerprint(config),
        "config": to_plain(config),
    } | provenance()


def _variants(config: Any, names: list[str], memory: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yields slices to compile for, and the fields that say how: one each, or all to compare."""
    from cnn.cost.tpu_slices import open_slice

    for name in names:
        asked = open_slice(name, config.mesh.fsdp)
        if not memory:
            yield asked, {"fsdp": config.mesh.fsdp, "remat": config.train.remat}
            continue
        for fsdp, remat in itertools.product(sorted({1, asked.mesh.size}), (False, True)):
            yield open_slice(name, fsdp), {"fsdp": fsdp, "remat": remat}


def _maker(config: Any, fields: dict[str, Any], dataset: Any) -> Callable[[int], Any]:
    """Returns what builds the network, for a batch of so many examples, on one device of here."""
    from cnn.cost.program import with_batch_size
    from cnn.training.assembly import make_evaluator

    def make(examples: int) -> Any:
        own = with_batch_size(config, examples)
        with own.unlocked():
            own.mesh.fsdp, own.train.remat = 1, fields["remat"]
        return make_evaluator(own, dataset, devices=1)

    return make


def _share(batch_size: int, place: Any) -> int:
    if batch_size % place.mesh.size:
        raise UserError(
            f"train.batch_size: {batch_size} is not divisible by the {place.mesh.size} chips of "
            f"{place.name}; use a multiple of it, or --per-chip"
        )
    return batch_size // place.mesh.size


def plan_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Returns the cells of `COLUMNS` for the numbers of a slice."""
    macs = "n/a" if row["macs"] is None else f"{row['macs'] / 1e9:.2f}"
    if not row["fits"]:
        return row["slice"], "", "too many", macs
    bound, seconds = max(row["seconds_at_least"].items(), key=lambda item: item[1])
    collectives, counted = row["collectives"].values(), row["counted_bytes"]
    return (
        row["slice"],
        f"{row['examples']:,}",
        f"{row['memory'] / 2**30:.1f}",
        macs,
        f"{row['bytes'] / row['examples'] / 1e6:.0f}",
        f"{counted / row['examples'] / 1e6:.0f}" if counted else "",
        f"{sum(found['count'] for found in collectives)}",
        f"{sum(found['bytes'] for found in collectives) / 1e6:.0f}",
        f"{1e3 * seconds:.1f}",
        bound,
        f"{row['examples'] * row['devices'] / seconds:,.0f}",
    )


def memory_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Returns the cells of `MEMORY_COLUMNS` for the numbers of a slice."""
    fields = str(row["fsdp"]), str(row["remat"])
    if not row["fits"]:
        return row["slice"], "", *fields, "too many"
    sent = sum(found["bytes"] for found in row["collectives"].values())
    return (
        row["slice"],
        f"{row['examples']:,}",
        *fields,
        f"{row['memory'] / 2**30:.2f}",
        f"{row['state'] / 2**30:.2f}",
        f"{row['bytes'] / row['examples'] / 1e6:.0f}",
        f"{sent / 1e6:.0f}",
    )


if __name__ == "__main__":
    run_command(main)
