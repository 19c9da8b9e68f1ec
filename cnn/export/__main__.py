"""`python -m cnn.export --workdir=DIR`: export a checkpoint as StableHLO, run with jax alone."""

from cnn.config.entry import Parser, run_command, split_overrides
from cnn.config.errors import UserError, did_you_mean
from cnn.config.plugin import add_plugin_argument, load_plugins

ELSEWHERE = {
    "safetensors": "python -m cnn.weights export writes safetensors",
    "onnx": "there is no well-kept converter of Flax linen networks to ONNX",
    "tflite": "jax2tf, which LiteRT needs, takes TensorFlow, which is not used here",
}


def main(arguments: list[str]) -> None:
    """Reads the run, writes the program and prints its path."""
    overrides, rest = split_overrides(arguments)
    parser = Parser(
        prog="python -m cnn.export",
        description=__doc__,
        epilog="example: python -m cnn.export --workdir=runs/resnet20 --step=best --batch=1",
    )
    parser.add_argument("--workdir", required=True, help="run folder written by train.py")
    parser.add_argument(
        "--step", default="last", help="last (default), best (on validation), or a step number"
    )
    parser.add_argument("--format", default="stablehlo", help="output format (default: stablehlo)")
    parser.add_argument("--batch", type=int, help="examples per call (default: any number)")
    parser.add_argument(
        "--platform", default="cpu", help="comma-separated: cpu, cuda, rocm, tpu (default: cpu)"
    )
    parser.add_argument("--to", help="output folder (default: export/ in the run folder)")
    add_plugin_argument(parser)
    options = parser.parse_args(rest)
    if options.format != "stablehlo":
        why = ELSEWHERE.get(options.format, "allowed: stablehlo")
        raise UserError(f"--format: '{options.format}' cannot be written; {why}")
    if options.batch is not None and options.batch < 1:
        raise UserError("--batch: give 1 example or more, or leave it out for any number")

    from cnn.evaluation.checkpointed_run import open_run
    from cnn.export.stablehlo import PLATFORMS, export_run

    load_plugins(options.plugin)
    platforms = tuple(options.platform.split(","))
    for name in platforms:
        if name not in PLATFORMS:
            raise UserError(f"--platform: unknown '{name}': {did_you_mean(name, PLATFORMS)}")
    run = open_run(options.workdir, options.step, None, overrides)
    folder = options.to or run.folder.path / "export"
    print(export_run(run, folder, batch=options.batch, platforms=platforms))


if __name__ == "__main__":
    run_command(main)
