"""`python -m cnn COMMAND`: train, eval and ablate, from any directory."""

import importlib

from cnn.config.entry import run_command
from cnn.config.errors import UserError, did_you_mean

COMMANDS = {
    "train": "train a network",
    "eval": "evaluate checkpoints",
    "ablate": "plan, run and report a study",
}
# With --help of their own: python -m cnn.NAME.
OTHERS = {
    "models": "list networks",
    "layers": "list downsampling operators and heads",
    "evaluation": "list evaluation suites",
    "data": "prepare data sets",
    "runs": "list, show and compare runs",
    "weights": "import and export weights",
    "export": "export a checkpoint as StableHLO",
    "cost": "count parameters and MACs per layer",
    "cost.plan": "plan training on TPU slices, by compilation",
    "cost.bench": "find the bottleneck of a training run",
}


def main(arguments: list[str]) -> None:
    """Runs the command that the first argument names."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        for name, about in COMMANDS.items():
            print(f"  python -m cnn {name} --help  {about}")
        for name, about in OTHERS.items():
            print(f"  python -m cnn.{name} --help  {about}")
        return
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError(f"unknown command '{name}': {did_you_mean(name, COMMANDS)}")
    importlib.import_module(f"cnn.commands.{name}").main(rest)


def command() -> None:
    """Starts the command line."""
    run_command(main)


if __name__ == "__main__":
    command()
