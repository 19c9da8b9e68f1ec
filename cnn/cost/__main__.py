"""`python -m cnn.cost --config.model.name=NAME`: parameters and MACs, layer by layer."""

import sys

from cnn.config import base
from cnn.config.entry import Parser, run_command, split_overrides
from cnn.config.errors import UserError
from cnn.config.plugin import add_plugin_argument


def main(arguments: list[str]) -> None:
    """Prints the table; no array is made, so it takes seconds for any network."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(
        prog="python -m cnn.cost",
        description=__doc__,
        epilog="example: python -m cnn.cost --config.model.name=resnet50 --image=160,160,3",
    )
    parser.add_argument("--config", default=base.__file__, help="config file")
    parser.add_argument(
        "--image",
        help="input shape, e.g. 224,224,3 (default: data.image_size where set, else the published "
        "one)",
    )
    parser.add_argument(
        "--classes", type=int, help="number of classes (default: 10, or 1000 for ImageNet networks)"
    )
    parser.add_argument(
        "--layers", action="store_true", help="list every layer instead of every block"
    )
    add_plugin_argument(parser)
    options = parser.parse_args(rest)

    from rich.console import Console

    from cnn import models
    from cnn.config.load import load
    from cnn.cost.count import network_cost
    from cnn.cost.table import cost_table

    loaded = load(options.config, overrides, options.plugin)
    model = loaded.config.model
    published = models.MODELS.look_up(model.name, "model.name").input_shape
    size = loaded.config.data.image_size
    # Spatial sizes of the config, channels of the network.
    shape = (size, size, published[-1]) if size and len(published) == 3 else published
    shape = _shape(options.image) if options.image else shape
    classes = options.classes or (1000 if published[0] >= 224 else 10)
    cost = network_cost(model, shape, classes)
    name = f"{model.name}, {'x'.join(map(str, shape))}, {classes} classes"
    # Pipes and files are as wide as it takes.
    console = Console(width=None if sys.stdout.isatty() else 140)
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
