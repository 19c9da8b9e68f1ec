"""`python -m cnn.layers`: every downsampling operator and head, with its card."""

from cnn.config.entry import Parser, run_command
from cnn.layers.cards import markdown, text


def main(arguments: list[str]) -> None:
    """Prints the cards."""
    parser = Parser(prog="python -m cnn.layers", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="print docs/operators.md")
    print(markdown() if parser.parse_args(arguments).markdown else text(), end="")


if __name__ == "__main__":
    run_command(main)
