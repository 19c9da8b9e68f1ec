"""Evaluate checkpoints: python eval.py --workdir=DIR [--workdir=B ...] [--suite=A,B|all]."""

from cnn.config.entry import Parser, split_overrides
from cnn.config.plugin import add_plugin_argument, load_plugins


def main(arguments: list[str]) -> None:
    """Reads the arguments, opens the runs, and prints and writes the results."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(
        prog="eval.py",
        description=__doc__,
        epilog="example: python eval.py --workdir=runs/first "
        "--suite='calibration,shift(images=500)'",
    )
    parser.add_argument(
        "--workdir", action="append", default=[], help="run folder written by train.py; repeatable"
    )
    parser.add_argument("--checkpoint", help="DIR/checkpoints/N, short for --workdir=DIR --step=N")
    parser.add_argument("--step", help="last (default), best (on validation), or a step number")
    parser.add_argument("--split", default="test", help="test, validation or train")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="display name of a run on the page; one per --workdir",
    )
    parser.add_argument(
        "--config.FIELD",
        metavar="VALUE",
        help="override a data field, e.g. --config.data.path=DIR",
    )
    parser.add_argument(
        "--suite",
        default="accuracy",
        help="suites to run (default: accuracy); python -m cnn.evaluation lists them",
    )
    parser.add_argument("--out", help="also write the JSON line to this file")
    parser.add_argument(
        "--page", help="output page (default: evaluation/eval.html in the first run folder)"
    )
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
