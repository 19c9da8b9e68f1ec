"""`python -m cnn.evaluation`: what eval.py can measure, and the options of each suite."""

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
    """Prints the list."""
    parser = Parser(prog="python -m cnn.evaluation", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="their metrics too, as a page")
    add_plugin_argument(parser)
    given = parser.parse_args(arguments)
    load_plugins(given.plugin)
    if given.markdown:
        print(markdown(), end="")
        return
    table = Table(box=SIMPLE, title_justify="left")
    for head in ("--suite=", "what it measures"):
        table.add_column(head)
    for name, suite in SUITES.items():
        table.add_row(Text(signature(name, suite.defaults())), Text(suite.about))
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "Several: --suite='accuracy,shift(images=500)'; all: --suite=all. images=0: the whole "
        "split, else that many, spread evenly over it. Their metrics: --markdown, docs/suites.md.",
        markup=False,
    )


if __name__ == "__main__":
    run_command(main)
