"""`python -m cnn.models`: list networks, or print one: published defaults and fields read."""

import jax
import jax.numpy as jnp

from cnn import models
from cnn.config.base import get_config
from cnn.config.entry import Parser, run_command
from cnn.config.plugin import add_plugin_argument, load_plugins


def parameters(name: str, num_classes: int) -> int:
    """Returns the number of parameters at the network's own image size, without computing any."""
    model = get_config().model
    with model.unlocked():
        model.name = name
    entry = models.MODELS[name]
    shape = jax.ShapeDtypeStruct((1, *entry.input_shape), jnp.float32)
    module = models.build(model, num_classes)
    variables = jax.eval_shape(lambda x: module.init(jax.random.key(0), x, False), shape)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def main(arguments: list[str]) -> None:
    """Prints the list, or one network."""
    parser = Parser(
        prog="python -m cnn.models",
        description=__doc__,
        epilog="example: python -m cnn.models resnet20 --count",
    )
    parser.add_argument("name", nargs="?", help="print this network only")
    parser.add_argument(
        "--count", action="store_true", help="also count parameters, for 10 and 1000 classes"
    )
    add_plugin_argument(parser)
    given = parser.parse_args(arguments)
    load_plugins(given.plugin)
    chosen = dict(models.MODELS.items())
    if given.name:
        chosen = {given.name: models.MODELS.look_up(given.name, "network")}
    for name, entry in chosen.items():
        print(f"{name}: {entry.about}")
        if given.count:
            shape = "x".join(map(str, entry.input_shape))
            ten, thousand = parameters(name, 10), parameters(name, 1000)
            print(f"    parameters at {shape}: {ten:,} (10 classes), {thousand:,} (1000 classes)")
        for field, value in sorted(entry.published.items()):
            print(f"    {field} = {value}")
        unset = sorted(entry.reads - set(entry.published))
        print(f"    also reads: {', '.join(unset) or 'the common fields only'}")
    print(f"\nAll networks read: {', '.join(sorted(models.COMMON))}")


if __name__ == "__main__":
    run_command(main)
