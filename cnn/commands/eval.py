"""Evaluates checkpoints: python eval.py --workdir=DIR [--workdir=B ...] [--suite=A,B|all]."""

from cnn.config.entry import Parser, split_overrides
from cnn.config.plugin import add_plugin_argument, load_plugins


def main(arguments: list[str]) -> None:
    """Reads the arguments, opens the runs, and prints and writes what was measured."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(prog="eval.py", description=__doc__)
    parser.add_argument(
        "--workdir", action="append", default=[], help="run folder that train.py wrote; several"
    )
    parser.add_argument("--checkpoint", help="DIR/checkpoints/N, the same as --workdir and --step")
    parser.add_argument("--step", help="last (the default), best on validation, or a number")
    parser.add_argument("--split", default="test", help="test, validation or train")
    parser.add_argument(
        "--name", action="append", default=[], help="of a run on the page; one for each --workdir"
    )
    parser.add_argument(
        "--config.FIELD",
        metavar="VALUE",
        help="where the data is, or other data, such as --config.data.path=DIR",
    )
    parser.add_argument(
        "--suite", default="accuracy", help="what to measure: python -m cnn.evaluation lists it"
    )
    parser.add_argument("--out", help="file to write the JSON line to as well")
    parser.add_argument("--page", help="the page; default: evaluation/eval.html in the first run")
    add_plugin_argument(parser)
    given = parser.parse_args(rest)
    load_plugins(given.plugin)

    from cnn.evaluation.start import EvaluationRequest, start

    start(
        EvaluationRequest(
            workdirs=tuple(given.workdir),
            checkpoint=given.checkpoint,
            step=given.step,
            split=given.split,
            suite=given.suite,
            out=given.out,
            page=given.page,
            overrides=tuple(overrides),
            names=tuple(given.name),
        )
    )
