"""Trains a network: python train.py --config=configs/X.py[:arg] --workdir=DIR [--config.a.b=V]."""

import sys

from cnn.config.entry import Parser, split_overrides
from cnn.config.plugin import add_plugin_argument


def main(arguments: list[str]) -> None:
    """Reads the arguments, loads the config and trains."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(prog="train.py", description=__doc__)
    parser.add_argument("--config", required=True, help="config file, with :arg if it takes one")
    parser.add_argument("--workdir", required=True, help="run folder; the same one continues")
    parser.add_argument(
        "--config.FIELD",
        metavar="VALUE",
        dest="_",
        help="change a field, such as --config.optimizer.learning_rate=0.05",
    )
    parser.add_argument("--hosts", help="one run on many hosts: auto, or ADDRESS:PORT,COUNT,INDEX")
    parser.add_argument(
        "--profile",
        metavar="FIRST:LAST",
        help="trace these steps and print what takes longest",
    )
    parser.add_argument(
        "--debug-nans",
        action="store_true",
        help="stop at the first value that is not finite and name its layer (slower)",
    )
    add_plugin_argument(parser)
    options = parser.parse_args(rest)
    from cnn.config.load import load

    loaded = load(options.config, overrides, options.plugin)
    from cnn.training.start import start

    sys.exit(
        start(
            loaded,
            options.workdir,
            options.hosts,
            profile=options.profile,
            debug_nans=options.debug_nans,
        )
    )
