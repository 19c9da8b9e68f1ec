"""`python -m cnn.evaluation`: list the suites of eval.py and their options."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnn.config.call import signature
from cnn.config.entry import Parser, run_command
from cnn.config.plugin import add_plugin_argument, load_plugins
from cnn.evaluation.document import markdown
from cnn.evaluation.suites import SUITES


def main(arguments: list[str]) -> None:
    """Prints the list, or docs/suites.md."""
    parser = Parser(
        prog="python -m cnn.evaluation",
        description=__doc__,
        epilog="example: python -m cnn.evaluation --markdown > suites.md",
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print docs/suites.md, with all metrics"
    )
    add_plugin_argument(parser)
    given = parser.parse_args(arguments)
    load_plugins(given.plugin)
    if given.markdown:
        print(markdown(), end="")
        return
    table = Table(box=SIMPLE, title_justify="left")
    for head in ("--suite=", "description"):
        table.add_column(head)
    for name, suite in SUITES.items():
        table.add_row(Text(signature(name, suite.defaults())), Text(suite.about))
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "Several suites: --suite='accuracy,shift(images=500)'; all of them: --suite=all. "
        "images=N uses N evenly spaced examples of the split, 0 all of them. Metrics: "
        "--markdown, or docs/suites.md.",
        markup=False,
    )


if __name__ == "__main__":
    run_command(main)
