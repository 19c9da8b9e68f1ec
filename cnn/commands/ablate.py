"""Studies: ablate.py plan|register|run --config=STUDY --workdir=DIR, report|verify|claim ..."""

from argparse import ArgumentParser

from cnn.config.entry import Parser, split_overrides
from cnn.config.errors import UserError
from cnn.config.plugin import add_plugin_argument


def main(arguments: list[str]) -> None:
    """Reads the arguments and runs the command."""
    overrides, rest = split_overrides(arguments)
    options = vars(_parser().parse_args(rest))
    command, workdirs = options.pop("command"), options.pop("workdir")
    if command == "report":
        options["workdirs"] = workdirs
    elif workdirs and len(workdirs) > 1:
        raise UserError(f"--workdir: {command} takes one folder; only report takes several")
    else:
        options["workdir"] = workdirs and workdirs[0]
        if command in ("plan", "register", "run"):
            options["overrides"] = overrides
    from cnn.ablation import start

    getattr(start, command)(**options)


def _parser() -> Parser:
    parser = Parser(
        prog="ablate.py",
        description=__doc__,
        epilog="example: python ablate.py run --config=configs/ablations/pooling.py "
        "--workdir=runs/pooling",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    plan = commands.add_parser("plan", help="expected duration and statistical power of a study")
    register = commands.add_parser("register", help="preregister a study before training")
    run = commands.add_parser("run", help="train all unfinished runs, then report")
    report = commands.add_parser("report", help="render the report from the run folders")
    verify = commands.add_parser(
        "verify", help="recompute the report and compare it with the stored one"
    )
    compact = commands.add_parser("compact", help="write a compact copy of a study for publication")
    claim = commands.add_parser("claim", help="test a published claim against a study")
    claim.add_argument("name", nargs="?", help="name of the claim (default: list all)")
    for command in (plan, register, run):
        command.add_argument(
            "--config", required=True, help="study file (--config.FIELD=X applies to every arm)"
        )
    for command in (plan, run):
        command.add_argument("--workers", type=int, help="worker processes (default: one per core)")
    for command in (plan, register, run, report, verify, compact, claim):
        several = "; of several studies: one table of all, too" if command is report else ""
        help_text, required = f"folder of the study{several}", command not in (plan, claim)
        command.add_argument("--workdir", required=required, action="append", help=help_text)
        add_plugin_argument(command)
    for command in (run, report):
        mixed = "refuse runs from mixed commits or hardware, or with uncommitted changes"
        command.add_argument("--strict", action="store_true", help=mixed)
    _add_execution(run)
    _add_forecast(plan)
    report.add_argument(
        "--out", help="folder for the combined table of several studies (default: the first)"
    )
    compact.add_argument("--out", required=True, help="empty folder for the copy")
    return parser


def _add_execution(run: ArgumentParser) -> None:
    add = run.add_argument
    add("--task", help="i/n: index (from 0) and number of jobs sharing the folder")
    add("--engine", default="local", help="local | ray (the cluster of $RAY_ADDRESS)")
    add(
        "--replicas", type=int, help="seeds trained together in one process (default: 1 per device)"
    )
    add("--patience", type=float, help="stop a run after N minutes without progress (default: 30)")
    add("--gpus", type=float, help="Ray: GPUs per run, fractions allowed (default: 0)")
    add("--retries", type=int, help="Ray: restarts of a run after a node failure (default: 3)")


def _add_forecast(plan: ArgumentParser) -> None:
    plan.add_argument(
        "--delta", type=float, help="effect to detect, in pp (default: the equivalence margin)"
    )
    plan.add_argument(
        "--accuracy",
        type=float,
        default=90.0,
        help="assumed baseline accuracy, in %% (default: 90)",
    )
