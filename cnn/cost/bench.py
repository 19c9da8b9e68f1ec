"""`python -m cnn.cost.bench --config=FILE`: what bounds a training run, its data or its network."""

import json
import sys
from pathlib import Path

from cnn.config.entry import Parser, run_command, split_overrides
from cnn.config.errors import UserError
from cnn.config.plugin import add_plugin_argument


def main(arguments: list[str]) -> None:
    """Measures both placements of the data that the config permits, and prints a table."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(
        prog="python -m cnn.cost.bench",
        description=__doc__,
        epilog="example: python -m cnn.cost.bench --config=configs/fashion_mnist_10k.py",
    )
    parser.add_argument("--config", required=True, help="config file, optionally with :arg")
    parser.add_argument(
        "--steps", type=int, default=0, help="steps per repeat (default 0: one second's worth)"
    )
    parser.add_argument("--repeats", type=int, default=7, help="repeats per measurement")
    parser.add_argument("--out", help="output JSON file")
    add_plugin_argument(parser)
    options = parser.parse_args(rest)
    for name, least in (("steps", 0), ("repeats", 1)):
        if (given := getattr(options, name)) < least:
            raise UserError(f"--{name}: {given} is too few; use {least} or more")
    if options.out and not Path(options.out).absolute().parent.is_dir():
        raise UserError(f"--out: the folder of '{options.out}' does not exist; create it first")
    from cnn.config.atomic import write_atomically
    from cnn.config.load import load
    from cnn.training.run_folder import check_output

    if options.out:
        check_output(Path(options.out), "--out")
    loaded = load(options.config, overrides, options.plugin)
    from rich.console import Console

    from cnn.cost.bound import bound_table, measure_bound
    from cnn.training.mesh import count_cores_as_devices
    from cnn.training.start import use_compilation_cache

    use_compilation_cache()
    count_cores_as_devices()
    result = measure_bound(loaded.config, options.steps, options.repeats)
    # Pipes and files are as wide as it takes.
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(bound_table(result))
    for placement, metrics in result["placements"].items():
        console.print(f"{placement}: {metrics['verdict']}", markup=False, soft_wrap=True)
    if options.out:
        write_atomically(Path(options.out), json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main)
