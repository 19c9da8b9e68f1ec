"""Evaluates checkpoints: python eval.py --workdir=DIR [--workdir=B ...] [--suite=A,B|all]."""

from cnn.commands.eval import main
from cnn.config.entry import run_command

if __name__ == "__main__":
    run_command(main)
