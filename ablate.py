"""Studies of arms: python ablate.py run --config=STUDY --workdir=DIR, or report --workdir=DIR."""

import os

from cnn.config.entry import Parser, run_command, split_overrides


def main(arguments: list[str]) -> None:
    """Reads the arguments and runs the command."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(prog="ablate.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|report")
    run = commands.add_parser("run", help="train what is not finished, and report")
    report = commands.add_parser("report", help="render the report from the run folders alone")
    run.add_argument(
        "--config", required=True, help="study file; --config.FIELD=VALUE for all arms"
    )
    for command in (run, report):
        command.add_argument("--workdir", required=True, help="folder of the study's runs")
    run.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (one a core)")
    options = parser.parse_args(rest)
    if options.command == "run":
        from cnn.ablation.start import run

        run(options.config, options.workdir, options.workers, overrides)
    else:
        from cnn.ablation.start import report

        report(options.workdir)


if __name__ == "__main__":
    run_command(main)
