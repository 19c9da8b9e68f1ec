"""Train a network: python train.py --config=configs/X.py[:arg] --workdir=DIR [--config.a.b=V]."""

import sys

from cnn.config.entry import Parser, split_overrides
from cnn.config.plugin import add_plugin_argument


def main(arguments: list[str]) -> None:
    """Reads the arguments, loads the config and trains."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(
        prog="train.py",
        description=__doc__,
        epilog="example: python train.py --config=configs/fashion_mnist_10k.py "
        "--workdir=runs/first --config.train.duration='2 epochs'",
    )
    parser.add_argument("--config", required=True, help="config file, optionally with :arg")
    parser.add_argument("--workdir", required=True, help="run folder; an existing run is resumed")
    parser.add_argument(
        "--config.FIELD",
        metavar="VALUE",
        dest="_",
        help="override a config field, e.g. --config.optimizer.learning_rate=0.05",
    )
    parser.add_argument("--hosts", help="multi-host training: auto, or ADDRESS:PORT,COUNT,INDEX")
    parser.add_argument(
        "--profile",
        metavar="FIRST:LAST",
        help="profile these steps and print the most expensive operations",
    )
    parser.add_argument(
        "--debug-nans",
        action="store_true",
        help="stop at the first non-finite value and name its layer (slower)",
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
