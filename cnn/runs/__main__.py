"""`python -m cnn.runs list|show|diff`: list runs, show one in full, or compare several."""

import csv
import json
import sys

from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError, did_you_mean


def main(arguments: list[str]) -> None:
    """Reads the folders and prints the table."""
    parser = Parser(
        prog="python -m cnn.runs",
        description=__doc__,
        epilog="example: python -m cnn.runs list runs",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|show|diff")
    listing = commands.add_parser("list", help="one row per run in the given folders, recursively")
    listing.add_argument(
        "folders", nargs="*", default=["runs"], help="folders to search (default: runs)"
    )
    listing.add_argument(
        "--field", action="append", default=[], help="also show this config field; repeatable"
    )
    show = commands.add_parser("show", help="config changes, metrics and provenance of one run")
    show.add_argument("folders", nargs=1, metavar="run", help="run folder")
    diff = commands.add_parser("diff", help="differing fields, metrics and versions")
    diff.add_argument("folders", nargs="+", metavar="run", help="two or more run folders")
    for command in (listing, show, diff):
        command.add_argument("--format", choices=("table", "csv", "json"), default="table")
    options = parser.parse_args(arguments)
    _print(_rows(options), options.format)


def _rows(options) -> list[dict]:
    from cnn.runs import find_runs, summarize_run, tables

    if options.command == "list":
        runs = [summarize_run(path) for path in find_runs(options.folders)]
        if not runs:
            raise UserError(f"no runs found in {', '.join(options.folders)}")
        for name in options.field:
            if name not in runs[0].fields:
                near = did_you_mean(name, runs[0].fields).split("allowed")[0]
                raise UserError(f"--field: unknown field '{name}'; {near}see cnn/config/base.py")
        return tables.list_rows(runs, options.field)
    runs = [summarize_run(path) for path in options.folders]
    if options.command == "show":
        return tables.show_rows(runs[0])
    if len(runs) < 2:
        raise UserError("diff: give two or more run folders")
    return tables.difference_rows(runs)


def _print(rows: list[dict], form: str) -> None:
    if form == "json":
        print(json.dumps(rows, indent=2))
    elif not rows:
        print("no differences")
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print_table(rows)


def _print_table(rows: list[dict]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE)
    for name in rows[0]:
        table.add_column(escape(name), overflow="fold")
    for row in rows:
        cells = ("" if value is None else str(value) for value in row.values())
        table.add_row(*map(escape, cells))
    # Pipes and files are as wide as it takes.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


if __name__ == "__main__":
    run_command(main)
