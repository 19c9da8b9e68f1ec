"""`python -m cnn.data prepare NAME --to=DIR`: prepare a data set for `data.source=tfds`."""

from pathlib import Path

from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError, did_you_mean
from cnn.data.files import expanded, shown
from cnn.data.prepare.archives import collect_archives
from cnn.data.prepare.builders import BUILDERS, Builder
from cnn.data.prepare.own import own_set
from cnn.data.prepare.writer import PreparedSet, write_data_set


def main(arguments: list[str]) -> None:
    """Prepares the data set and prints how to use it."""
    parser = Parser(
        prog="python -m cnn.data",
        description=__doc__,
        epilog="examples: python -m cnn.data prepare cifar10 --to=$HOME/tensorflow_datasets; "
        "python -m cnn.data prepare flowers --from=class_folders --to=sets. Names: "
        + "; ".join(f"{name}: {builder.about}" for name, builder in BUILDERS.items())
        + "; any other name: --from is a folder of class folders or a CSV file",
    )
    parser.add_argument("command", choices=("prepare",))
    parser.add_argument("name", help="name of the data set")
    parser.add_argument("--to", required=True, type=Path, help="data set directory (data.data_dir)")
    parser.add_argument(
        "--from",
        dest="given",
        action="append",
        default=[],
        type=Path,
        help="official archive or its folder; repeatable (default: download)",
    )
    options = parser.parse_args(arguments)
    root = expanded(options.to, "--to")
    given = [expanded(path, "--from") for path in options.given]
    for prepared in _sets(options.name, given, root):
        counts = write_data_set(prepared, root)
        listed = ", ".join(f"{count:,} {split}" for split, count in counts.items())
        name = "/".join(filter(None, (prepared.name, prepared.config)))
        print(f"{name} {prepared.version}: {listed} examples; read it with:")
        print(f"  --config.data.name={name} --config.data.data_dir={shown(root)}")


def _sets(name: str, given: list[Path], root: Path) -> list[PreparedSet]:
    for path in given:
        if not path.exists():
            raise UserError(f"--from: {shown(path)} does not exist")
    if name in BUILDERS and not _is_extracted(BUILDERS[name], given):
        builder = BUILDERS[name]
        return builder.sets(collect_archives(builder.archives, given, root / "downloads"))
    if len(given) != 1:
        raise UserError(
            f"'{name}' is not a data set with official archives: {did_you_mean(name, BUILDERS)}; "
            "to prepare your own files, pass one --from: a folder of class folders or a CSV file"
        )
    return [own_set(name, given[0])]


def _is_extracted(builder: Builder, given: list[Path]) -> bool:
    """Whether a folder of class folders was given for archives that are often kept extracted."""
    manual = all(archive.manual for archive in builder.archives)
    return (
        manual
        and len(given) == 1
        and given[0].is_dir()
        and not any((given[0] / archive.name).exists() for archive in builder.archives)
    )


if __name__ == "__main__":
    run_command(main)
