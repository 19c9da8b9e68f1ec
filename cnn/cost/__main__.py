"""`python -m cnn.cost --config.model.name=NAME | --workdir=DIR`: parameters and MACs by layer."""

import sys

from cnn.config import base
from cnn.config.entry import Parser, run_command, split_overrides
from cnn.config.errors import UserError
from cnn.config.plugin import add_plugin_argument, load_plugins


def main(arguments: list[str]) -> None:
    """Prints the table; no array is made, so it takes seconds for any network."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(
        prog="python -m cnn.cost",
        description=__doc__,
        epilog="example: python -m cnn.cost --config.model.name=resnet50 --image=160,160,3",
    )
    parser.add_argument("--config", help="config file (default: the default config)")
    parser.add_argument("--workdir", help="run folder, in place of a config")
    parser.add_argument(
        "--image",
        help="input shape, e.g. 224,224,3 (default: that of the run or of the data; without them "
        "the published one)",
    )
    parser.add_argument(
        "--classes",
        type=int,
        help="number of classes (default: likewise; without them 10 or, for ImageNet, 1000)",
    )
    parser.add_argument(
        "--layers", action="store_true", help="list every layer instead of every block"
    )
    add_plugin_argument(parser)
    options = parser.parse_args(rest)
    if options.classes is not None and options.classes < 1:
        raise UserError(f"--classes: {options.classes} is too few; use 1 or more, or leave it out")
    if options.workdir and (options.config or overrides):
        raise UserError("--workdir: a run has its config; leave out --config and --config.FIELD")

    from rich.console import Console

    from cnn.config.load import load
    from cnn.cost.count import network_cost
    from cnn.cost.counted_network import of_config, of_run
    from cnn.cost.table import cost_table

    if options.workdir:
        load_plugins(options.plugin)
        counted = of_run(options.workdir)
    else:
        loaded = load(options.config or base.__file__, overrides, options.plugin)
        counted = of_config(loaded.config, loaded.set_fields)
    shape = _shape(options.image) if options.image else counted.shape
    classes = counted.classes if options.classes is None else options.classes
    cost = network_cost(counted.model, shape, classes)
    name = f"{counted.model.name}, {'x'.join(map(str, shape))}, {classes} classes"
    # Pipes and files are as wide as it takes.
    console = Console(width=None if sys.stdout.isatty() else 140)
    if counted.remark and not options.image:
        console.print(counted.remark, markup=False, highlight=False, soft_wrap=True)
    console.print(cost_table(name, cost if options.layers else cost.by_module()))


def _shape(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not 2 <= len(parts) <= 4 or not all(p.strip().isdecimal() and int(p) > 0 for p in parts):
        raise UserError(
            f"--image: '{text}' is not an input shape: sizes and channels, like 224,224,3"
        )
    return tuple(map(int, parts))


if __name__ == "__main__":
    run_command(main)
