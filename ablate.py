"""Studies: python ablate.py plan|run --config=STUDY --workdir=DIR, or report --workdir=DIR."""

from cnn.config.entry import Parser, run_command, split_overrides
from cnn.config.plugin import add_plugin_argument


def main(arguments: list[str]) -> None:
    """Reads the arguments and runs the command."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(prog="ablate.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="plan|run|report")
    plan = commands.add_parser("plan", help="what a study would take and could tell")
    run = commands.add_parser("run", help="train what is not finished, and report")
    report = commands.add_parser("report", help="render the report from the run folders alone")
    for command in (plan, run):
        command.add_argument("--config", required=True, help="study (--config.FIELD=X: every arm)")
        command.add_argument("--workers", type=int, help="processes (default: one a core)")
    for command in (plan, run, report):
        required = command is not plan
        command.add_argument("--workdir", required=required, help="folder of the study's runs")
        add_plugin_argument(command)
    run.add_argument("--task", help="i/n: task i, from 0, of n that share the folder")
    run.add_argument(
        "--engine", default="local", help="local | ray: on the cluster of $RAY_ADDRESS"
    )
    run.add_argument("--replicas", type=int, help="seeds a program (default: an accelerator each)")
    run.add_argument("--patience", type=float, help="minutes without a step that end a run (30)")
    run.add_argument("--gpus", type=float, help="ray: GPUs of a run, or a share of one")
    run.add_argument("--retries", type=int, help="ray: of a run that was lost with its node")
    plan.add_argument("--delta", type=float, help="percentage points to plan seeds for")
    plan.add_argument("--accuracy", type=float, default=90.0, help="percent, before any run")
    options = vars(parser.parse_args(rest))
    command = options.pop("command")
    if command != "report":
        options["overrides"] = overrides
    from cnn.ablation import start

    getattr(start, command)(**options)


if __name__ == "__main__":
    run_command(main)
