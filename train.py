"""Trains a network: python train.py --config=configs/X.py[:arg] --workdir=DIR [--config.a.b=V]."""

from cnn.commands.train import main
from cnn.config.entry import run_command

if __name__ == "__main__":
    run_command(main)
