"""`python -m cnn COMMAND`: train, eval and ablate, from any folder."""

import importlib

from cnn.config.entry import run_command
from cnn.config.errors import UserError, did_you_mean

COMMANDS = {
    "train": "trains a network",
    "eval": "evaluates checkpoints",
    "ablate": "plans, runs and reports a study",
}
# With --help of their own: python -m cnn.NAME.
OTHERS = {
    "models": "every network",
    "layers": "every downsampling operator and head",
    "evaluation": "every suite of measurements",
    "runs": "run folders listed, shown and compared",
    "weights": "other people's weights in, ours out",
    "export": "a checkpoint as a program",
    "cost": "what a network takes, layer by layer",
    "cost.plan": "what a run takes on a TPU slice",
    "cost.bench": "what bounds a training run",
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
