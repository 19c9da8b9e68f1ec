"""Evaluates a checkpoint: python eval.py --workdir=DIR [--step=best|last|N] [--split=test]."""

from cnn.config.entry import Parser, run_command, split_overrides


def main(arguments: list[str]) -> None:
    """Reads the arguments, opens the run and prints its figures."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(prog="eval.py", description=__doc__)
    parser.add_argument("--workdir", help="run folder that train.py wrote; needs nothing else")
    parser.add_argument("--checkpoint", help="DIR/checkpoints/N, the same as --workdir and --step")
    parser.add_argument("--step", help="last (the default), best on validation, or a number")
    parser.add_argument("--split", default="test", help="test, validation or train")
    parser.add_argument("--out", help="file to write the JSON line to as well")
    options = parser.parse_args(rest)

    from cnn.evaluation.start import locate, start

    workdir, step = locate(options.workdir, options.checkpoint, options.step)
    start(workdir, step, options.split, options.out, overrides)


if __name__ == "__main__":
    run_command(main)
