"""A user's own files as a data set: class folders, or a table of paths and labels."""

import csv
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cnn.config.errors import UserError
from cnn.data.decode import IMAGE_SUFFIXES, look_at_image
from cnn.data.files import entries, files_below, holds_splits, is_folder, shown
from cnn.data.prepare.writer import Example, Feature, PreparedSet, image, label, sound, text
from cnn.data.waves import look_at_wave

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Names of splits that TFDS reads; "all" means all of them.
_SPLIT = re.compile(r"(?!all$)[\w-]*[^\W_][\w-]*")
_SOUNDS = (".wav", ".flac")

# Of each example: its key, its file and its class.
_Rows = list[tuple[str, Path, str]]


def own_set(name: str, source: Path) -> PreparedSet:
    """Returns the set to write for a folder or a CSV file.

    A folder contains one folder per class, or one folder of these per split; without splits,
    everything is "train". `holds_splits` tells them apart by the names "train" and "test". A CSV
    file has the columns `path` (relative to its folder), `label` and optionally `split`.

    Raises:
      UserError: the name or that of a split is invalid, nothing is found, a split has no class
        folders, a class folder has no files, or a file is broken.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' is not a valid data set name; use small letters, digits and _")
    if source.is_dir():
        splits = _of_folders(source)
    elif source.suffix.lower() == ".csv":
        splits = _of_table(source)
    else:
        raise UserError(f"--from: {shown(source)} is neither a folder nor a CSV file")
    for split in splits:
        if not _SPLIT.fullmatch(split):
            raise UserError(
                f"--from: {shown(source)} has a split '{shown(split)}', which TFDS cannot read; "
                "name it with letters, digits, _ and -, and not 'all'"
            )
    rows = [row for found in splits.values() for row in found]
    names = tuple(sorted({row[2] for row in rows}))
    if len(names) < 2:
        raise UserError(
            f"--from: {shown(source)} has the classes {', '.join(names) or 'none'}; at least two "
            "are needed"
        )
    kind, feature = _looked_at(rows)
    return PreparedSet(
        name,
        "1.0.0",
        {kind: feature, "label": label(names), "file_name": text()},
        {split: partial(_examples, kind, found) for split, found in splits.items()},
        about=f"Made of {shown(source.name)}.",
        supervised=(kind, "label"),
    )


def _of_folders(root: Path) -> dict[str, _Rows]:
    if not holds_splits(root, ("train", "test")):
        return {"train": _of_classes(root)}
    return {e.name: _of_classes(Path(e.path)) for e in entries(root) if is_folder(e)}


def _of_classes(split: Path) -> _Rows:
    """Returns what is in the class folders; files beside them are ignored, as in `FolderReader`."""
    classes = [entry for entry in entries(split) if is_folder(entry)]
    if not classes:
        raise UserError(
            f"{shown(split)}: is taken for a split, as the folders beside it are, but contains no "
            "class folders; move it elsewhere, or list the examples in a CSV file"
        )
    rows = []
    for entry in classes:
        name = _class_name(entry.name, shown(entry.path))
        paths = [Path(path) for path in files_below(entry.path)]
        if not paths:
            raise UserError(
                f"{shown(entry.path)}: contains no files; add some or remove the folder"
            )
        rows += [(str(path.relative_to(split)), path, name) for path in paths]
    return rows


def _of_table(file: Path) -> dict[str, _Rows]:
    found: dict[str, _Rows] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            if missing := {"path", "label"} - set(table.fieldnames or ()):
                raise UserError(f"{shown(file)}: has no column '{min(missing)}' in its first line")
            for row in table:
                where = f"{shown(file)}, line {table.line_num}"
                for column in ("path", "label"):
                    if not row[column]:
                        raise UserError(f"{where}: has no {column}")
                name = _class_name(row["label"], where)
                rows = found.setdefault(row.get("split") or "train", [])
                rows.append((row["path"], file.parent / row["path"], name))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{shown(file)}: is not a readable table: {error}") from error
    return found


def _class_name(name: str, where: str) -> str:
    """Returns the name of a class if it can be stored as a line of a file and read again."""
    if name != name.strip() or len(name.splitlines()) > 1:
        raise UserError(
            f"{where}: the name of the class, {name!r}, has a line break or spaces at an end; "
            "rename the class"
        )
    return name


def _looked_at(rows: _Rows) -> tuple[str, Feature]:
    """Returns the kind of the examples and their feature, of a look at every file."""
    kinds = {"audio": _SOUNDS, "image": IMAGE_SUFFIXES}
    first = rows[0][1]
    kind = next((k for k, suffixes in kinds.items() if first.suffix.lower() in suffixes), None)
    if kind is None:
        raise UserError(f"{shown(first)}: is neither an image nor a WAV or FLAC file")
    shapes = set()
    for key, path, _ in rows:
        if shown(key) != key:
            raise UserError(f"{shown(path)}: names of files and folders must be UTF-8; rename it")
        if path.suffix.lower() not in kinds[kind]:
            raise UserError(f"{shown(path)}: is not an {kind} file, but {first.name} is; remove it")
        try:
            shapes.add((_look_at_image if kind == "image" else _look_at_sound)(path))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{shown(path)}: cannot be read: {reason}") from error
    if kind == "audio":
        rates = {(channels, rate) for _, channels, rate in shapes}
        if len(rates) > 1 or next(iter(rates))[0] != 1:
            raise UserError(
                "--from: sounds must be mono and share one sampling rate; found (channels, "
                f"samples per second) {sorted(rates)[:4]}; data.source=folder reads them"
            )
        return kind, sound(next(iter(rates))[1])
    sizes = [{shape[i] for shape in shapes} for i in range(3)]
    common = [next(iter(size)) if len(size) == 1 else None for size in sizes]
    return kind, image(*common[:2], common[2] or 3)


def _look_at_image(path: Path) -> tuple[int, int, int]:
    with path.open("rb") as file:
        return look_at_image(file, shown(path))


def _look_at_sound(path: Path) -> tuple[int, int, int]:
    return look_at_wave(path.read_bytes(), shown(path))


def _examples(kind: str, rows: _Rows) -> Iterator[Example]:
    import soundfile

    for key, path, name in rows:
        if kind == "image":
            content = path.read_bytes()
        else:
            content, _ = soundfile.read(path, dtype="int16")
        yield key, {kind: content, "label": name, "file_name": key}
