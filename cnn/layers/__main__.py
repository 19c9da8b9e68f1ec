"""`python -m cnn.layers`: list downsampling operators and heads, or print the card of one."""

import sys

from rich.console import Console

from cnn.config.entry import Parser, run_command
from cnn.config.plugin import add_plugin_argument, load_plugins
from cnn.layers.cards import markdown, tables, text


def main(arguments: list[str]) -> None:
    """Prints the list, a card, or docs/operators.md."""
    parser = Parser(
        prog="python -m cnn.layers",
        description=__doc__,
        epilog="example: python -m cnn.layers max_blur",
    )
    parser.add_argument("name", nargs="?", help="print the card of this operator or head")
    parser.add_argument("--markdown", action="store_true", help="print docs/operators.md")
    add_plugin_argument(parser)
    given = parser.parse_args(arguments)
    load_plugins(given.plugin)
    if given.markdown or given.name:
        print(markdown() if given.markdown else text(given.name), end="")
        return
    # One line per entry when the output is not a terminal, so that it can be searched.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 300)
    for table in tables():
        console.print(table)
    console.print("python -m cnn.layers NAME prints the full card.", markup=False)


if __name__ == "__main__":
    run_command(main)
