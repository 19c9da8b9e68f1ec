"""Studies: python ablate.py plan|run --config=STUDY --workdir=DIR, or report --workdir=DIR."""

from cnn.commands.ablate import main
from cnn.config.entry import run_command

if __name__ == "__main__":
    run_command(main)
