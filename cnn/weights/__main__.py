"""`python -m cnn.weights import|export|layouts`: convert weights from and to other libraries."""

from cnn.config.entry import Parser, run_command, split_overrides
from cnn.config.errors import UserError
from cnn.config.plugin import add_plugin_argument, load_plugins

_COMMANDS = ("import", "export", "layouts")


def main(arguments: list[str]) -> None:
    """Reads the arguments and does what the first one says."""
    overrides, rest = split_overrides(arguments)
    command = rest[0] if rest else ""
    if command in ("-h", "--help"):
        print(f"{__doc__}\n\neach command has its own --help: {', '.join(_COMMANDS)}")
        return
    if command not in _COMMANDS:
        raise UserError(
            f"python -m cnn.weights: '{command}' is not a command; allowed: {', '.join(_COMMANDS)}"
        )
    if command == "layouts":
        from cnn.weights.table import markdown

        print(markdown())
        return
    if command == "export":
        if overrides:
            raise UserError(f"--config.{overrides[0]}: an export uses the run's config; remove it")
        _export(rest[1:])
        return
    _import(rest[1:], tuple(overrides))


def _import(arguments: list[str], overrides: tuple[str, ...]) -> None:
    parser = Parser(
        prog="python -m cnn.weights import",
        description="Convert a weights file to a run folder for eval.py, cost and fine-tuning.",
        epilog="example: python -m cnn.weights import --model=resnet50 --layout=torchvision "
        "--from=resnet50.pth --workdir=runs/resnet50 --check=reference.npz",
    )
    parser.add_argument("--model", help="network name; python -m cnn.models lists them")
    parser.add_argument("--from", dest="source", required=True, help="weights file")
    parser.add_argument("--workdir", help="output run folder")
    parser.add_argument("--layout", help="source layout (default: detected)")
    parser.add_argument("--check", help="file with inputs and the reference logits")
    parser.add_argument(
        "--tolerance", type=float, help="relative tolerance of --check (default: 1e-4)"
    )
    parser.add_argument(
        "--head",
        choices=("keep", "new"),
        default="keep",
        help="keep the classifier, or initialise a new one",
    )
    parser.add_argument("--classes", type=int, help="number of classes for --head=new")
    parser.add_argument(
        "--skip", action="append", default=[], help="pattern of tensor names to ignore; repeatable"
    )
    parser.add_argument("--class-names", help="file with the class names in output order")
    parser.add_argument("--config", help="config file (default: the default config)")
    parser.add_argument("--list", action="store_true", help="list the tensors and exit")
    add_plugin_argument(parser)
    given = parser.parse_args(arguments)
    if not given.list and not (given.model and given.workdir):
        raise UserError("--model, --workdir: give both, or --list to see what the file holds")
    if (given.head == "new") != (given.classes is not None):
        raise UserError("--classes: required with --head=new, and only then")
    if given.classes is not None and given.classes < 1:
        raise UserError(f"--classes: {given.classes} is too few; use 1 or more")

    from cnn.foreign.imported import ImportRequest
    from cnn.weights import start

    request = ImportRequest(
        model=given.model or "",
        source=given.source,
        layout=given.layout,
        new_head=given.head == "new",
        classes=given.classes,
        skip=tuple(given.skip),
        config=given.config,
        overrides=overrides,
        plugins=tuple(given.plugin),
    )
    if given.list:
        start.list_tensors(request)
    else:
        start.import_weights(
            request, given.workdir, given.check, given.tolerance, given.class_names
        )


def _export(arguments: list[str]) -> None:
    parser = Parser(
        prog="python -m cnn.weights export",
        description="Export a checkpoint as safetensors, named as in torchvision, timm or here.",
        epilog="example: python -m cnn.weights export --workdir=runs/resnet50 --layout=timm "
        "--to=resnet50.safetensors",
    )
    parser.add_argument("--workdir", required=True, help="run folder, or DIR/checkpoints/N")
    parser.add_argument(
        "--step", default="last", help="last (default), best (on validation), or a step number"
    )
    parser.add_argument("--layout", default="own", help="torchvision, timm or own (default)")
    parser.add_argument("--to", required=True, help="output file")
    add_plugin_argument(parser)
    given = parser.parse_args(arguments)

    from cnn.weights import start

    load_plugins(given.plugin)
    start.export_weights(given.workdir, given.step, given.layout, given.to)


if __name__ == "__main__":
    run_command(main)
