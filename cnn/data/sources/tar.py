"""Tar files of examples (WebDataset's layout), indexed once and then read in any order.

The shards of a split lie in `path` as `<split>-*.tar`, or in its folder `<split>`. An example is a
file in a shard. Its class is the content of `<key>.cls`, a number or a name, where the key is
its name up to the first dot; in a shard without such files it is its folder in the tar. Numbers are
lines of `classes.txt` in `path`, counted from 0, where there is one.
"""

import hashlib
import json
import os
import posixpath
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.config.json_file import is_kind
from cnn.data.encoded import EncodedSplit
from cnn.data.files import expanded, is_hidden, shown
from cnn.data.signals import SIGNALS, Codec, FileInfo
from cnn.data.signals.signal import StoredShape
from cnn.data.sources.file_index import cache_folder, pool_of, with_bar, write_cache
from cnn.data.sources.listed import (
    ListedFile,
    common_shape,
    files_fingerprint,
    in_mixed_order,
    without_broken,
)
from cnn.data.sources.slices import parse_split
from cnn.data.sources.source import COMMON, DECODING, SOURCES, SliceReader, Source

_VERSION = 3  # of what an index holds, and of what is refused
_BESIDE = ("cls", "json", "txt")  # files next to examples
_END = 1024  # zeros that an archive ends with, at least
_WITHOUT_CONTENT = (tarfile.DIRTYPE, b"D", b"V")  # folders, also as GNU tar dumps them; labels
_LONGEST_CLASS = 1000  # characters; Python reads no number of more than 4300 digits
_LINK = "is a link; pack the shard again with `tar --dereference --hard-dereference`"
_SPECIAL = "is not a regular file; pack the shard again without it"


class _Member(NamedTuple):
    """One example in a shard: its name, class, byte range, shape and defect."""

    name: str
    label: str
    offset: int
    size: int
    shape: StoredShape
    defect: str


class TarReader(SliceReader):
    """Splits are sets of shards."""

    def __init__(self, root: Path, data: ConfigDict):
        super().__init__(f"shards of {shown(root)}", self._open_shards)
        self._root, self._data = root, data
        self._codec = SIGNALS[data.signal].codec(data)
        self._shards = _shards(root)
        self._read_before: dict[str, list[tuple[Path, _Member]]] = {}
        self.names = tuple(self._shards)
        if not self.names:
            raise UserError(
                f"data.path: {shown(root)} contains no shards; name them <split>-*.tar, such as "
                "train-00000.tar"
            )

    def _open_shards(self, split: str) -> EncodedSplit:
        classes, name = self._classes(), f"{split} of {shown(self._root)}"
        # A member's name may occur in several shards, so the shard's name is added.
        members = {
            f"{shard.relative_to(self._root)}/{member.name}": (shard, member)
            for shard, member in self._members(split)
        }
        if not members:
            raise UserError(f"{name}: its shards contain no examples")
        at, places = list(members), {name: place for place, name in enumerate(classes)}
        ordered = [at[i] for i in in_mixed_order(at)]
        found = [self._listed(name, members[name][1], places) for name in ordered]
        skip = self._data.broken_files == "skip"
        files, skipped = without_broken(found, self._root, skip)

        def fetch(indices: Sequence[int]) -> list[tuple[Any, int, str]]:
            chosen = [files[i] for i in indices]
            return [(_read(*members[file.name]), file.label, file.name) for file in chosen]

        shapes = [file.shape for file in files]
        return EncodedSplit(
            name=name,
            class_names=classes,
            num_examples=len(files),
            form=self._codec.form(common_shape(shapes), name),
            fetch=fetch,
            fingerprint=files_fingerprint(files, classes),
            names=[file.name for file in files],
            skipped=skipped,
            remarks=self._codec.remarks(shapes),
        )

    def _listed(self, name: str, member: _Member, places: Mapping[str, int]) -> ListedFile:
        if member.label not in places:
            raise UserError(f"{name}: the class '{member.label}' is not a class of train")
        defect = member.defect or self._codec.refused(member.shape)
        return ListedFile(name, places[member.label], member.shape, member.size, defect)

    def _names(self) -> list[str]:
        """Returns the lines of classes.txt, if there is one."""
        file = self._root / "classes.txt"
        if not file.is_file():
            return []
        lines = _decoded(file.read_bytes(), shown(file)).splitlines()
        return [line.strip() for line in lines]

    def _classes(self) -> tuple[str, ...]:
        """Returns the names of classes.txt, else those of the classes that occur in train."""
        if names := self._names():
            return tuple(names)
        train = parse_split(self._data.train_split, "data.train_split").base
        split = train if train in self._shards else self.names[0]
        found = {member.label for _, member in self._members(split)}
        numbers = all(name.isdecimal() for name in found)
        return tuple(sorted(found, key=int if numbers else str))

    def _members(self, split: str) -> list[tuple[Path, _Member]]:
        """Returns the examples of a split's shards, from indices or, the first time, the shards."""
        if split in self._read_before:
            return self._read_before[split]
        shards, names = self._shards[split], self._names()
        thorough = self._data.broken_files == "skip"
        members = []
        with pool_of(self._data.workers) as pool:
            looks = [pool.submit(_indexed, shard, self._codec, thorough) for shard in shards]
            pairs = list(zip(shards, looks, strict=True))
            for shard, look in with_bar(pairs, f"looking at the shards of {split}"):
                members += [(shard, _named(_Member(*row), names)) for row in look.result()]
        self._read_before[split] = members
        return members


def _named(member: _Member, names: Sequence[str]) -> _Member:
    """Replaces a number by the class that it stands for in a list."""
    place = int(member.label) if member.label.isdecimal() else len(names)
    return member._replace(label=names[place]) if place < len(names) else member


def _indexed(shard: Path, codec: Codec, thorough: bool) -> list[tuple]:
    """Returns the members of a shard as JSON holds them, and keeps them in the cache folder."""
    status = shard.stat()
    stamp = status.st_size, status.st_mtime_ns
    named = f"{_VERSION} {codec.feature} {thorough} {stamp} ".encode()
    digest = hashlib.sha256(named + os.fsencode(shard.resolve())).hexdigest()
    file = cache_folder() / f"{digest[:24]}.json"
    rows = _cached(file)
    if rows is None:
        rows = _look_through(shard, codec, thorough)
        write_cache(file, json.dumps(rows))
    return [(*row[:4], tuple(row[4]), row[5]) for row in rows]


def _cached(file: Path) -> list[list] | None:
    """Returns the rows of an index; None where it is missing or damaged."""
    try:
        rows = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return rows if isinstance(rows, list) and all(map(_is_row, rows)) else None


def _is_row(row: Any) -> bool:
    kinds = (str, str, int, int, list, str)
    return (
        isinstance(row, list)
        and len(row) == len(kinds)
        and all(map(is_kind, row, kinds))
        and all(is_kind(size, (int, NoneType)) for size in row[4])
        and len(row[1]) <= _LONGEST_CLASS
        and min(row[2:4]) >= 0
    )


def _look_through(shard: Path, codec: Codec, thorough: bool) -> list[tuple]:
    labels: dict[str, str] = {}
    found = []
    for name, member, content in _contents(shard):
        folder, _, base = name.rpartition("/")
        first, _, rest = base.partition(".")
        if rest.lower() == "cls":
            labels[f"{folder}/{first}"] = _decoded(content, shown(f"{shard}/{name}")).strip()
        if rest.lower() not in _BESIDE:
            shape, defect = _looked_at(codec, content, f"{shard}/{name}", thorough)
            place = (member.offset_data, member.size, shape, defect)
            found.append((f"{folder}/{first}", folder, name, place))
    rows = []
    for key, folder, name, place in found:
        label = labels.get(key, "") if labels else folder.rpartition("/")[2]
        if not label:
            why = "or an empty one, unlike others" if labels else "and is not in a class folder"
            raise UserError(f"{shown(shard)}/{name}: has no .cls file {why}; pack the shard again")
        if len(label) > _LONGEST_CLASS:
            raise UserError(
                f"{shown(shard)}/{name}: its class has {len(label):,} characters, and may have "
                f"{_LONGEST_CLASS:,}; pack the shard again"
            )
        rows.append((name, label, *place))
    return rows


def _contents(shard: Path) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    """Yields name, entry and content of the files of a shard that are not hidden.

    Raises:
      UserError: it is damaged, or has a link, a device or the like.
    """
    try:
        with tarfile.open(shard, "r:") as archive:
            yield from _contents_of(archive)
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise UserError(
            f"{shown(shard)}: is truncated or damaged, or not a tar file: {error}"
        ) from error


def _contents_of(archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
    """Yields what `_contents` does.

    Raises:
      UserError: there is a link, a device or the like.
      tarfile.ReadError: it is damaged, or does not end with the mark of an archive's end.
    """
    last = "its start"
    for member in archive:
        last = name = _plain(member.name)
        if member.type in _WITHOUT_CONTENT or any(map(is_hidden, name.split("/"))):
            continue
        if not member.isfile():
            link = member.islnk() or member.issym()
            where = shown(f"{archive.name}/{name}")
            raise UserError(f"{where}: {_LINK if link else _SPECIAL}")
        if member.issparse():
            raise tarfile.ReadError(f"{name} is sparse; pack it without --sparse")
        content = archive.extractfile(member).read()
        if len(content) < member.size:
            raise tarfile.ReadError("unexpected end of data")
        yield name, member, content
    # At a damaged header the loop ends without an error, as at the end of the archive.
    rest = archive.fileobj
    rest.seek(archive.offset)
    zeros = 0
    while (piece := rest.read(2**20)) and not piece.strip(b"\0"):
        zeros += len(piece)
    if piece or zeros < _END:
        raise tarfile.ReadError(
            f"neither a file nor the end of the archive follows {last} (byte {archive.offset:,}); "
            "copy or pack it again, and do not join shards with cat"
        )


def _plain(name: str) -> str:
    """Returns a name without the parts "." and ".."; `tar -cf x.tar .` begins names with "./"."""
    # Below "/" the part ".." at the start of a name is dropped, too.
    return posixpath.normpath(f"/{name}")[1:]


def _decoded(content: bytes, where: str) -> str:
    """Returns the text of a file in UTF-8, with or without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}, byte {error.start}: is not valid UTF-8; save it as UTF-8"
        ) from error


def _looked_at(codec: Codec, content: bytes, where: str, thorough: bool) -> tuple[StoredShape, str]:
    try:
        look: FileInfo = codec.look_at_content(content, where, thorough)
    except UserError as error:
        defect = str(error).removeprefix(f"{where}: ")
        return (), defect.removesuffix("; replace or remove it")
    except ValueError as error:
        return (), f"cannot be read: {error}"
    return look.shape, look.defect


def _shards(root: Path) -> dict[str, list[Path]]:
    """Returns the shards of each split, by name."""
    found: dict[str, list[Path]] = {}
    for path in sorted([*root.glob("*.tar"), *root.glob("*/*.tar")]):
        if not is_hidden(path.name) and not is_hidden(path.parent.name):
            split = path.stem.partition("-")[0] if path.parent == root else path.parent.name
            found.setdefault(split, []).append(path)
    return found


def _read(shard: Path, member: _Member) -> bytes:
    try:
        with shard.open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), member.size, member.offset)
    except OSError as error:
        raise UserError(f"{shown(shard)}: cannot be read: {error.strerror or error}") from error
    if len(content) < member.size:
        raise UserError(f"{shown(shard)}: has become shorter since it was indexed; copy it again")
    return content


def open_tar(data: ConfigDict) -> TarReader:
    """Opens a folder of shards; raises `UserError` when there are none."""
    root = expanded(data.path, "data.path").absolute()
    if not data.path or not root.is_dir():
        raise UserError(
            f"data.path: '{shown(data.path)}' is not a folder; give the folder of the shards"
        )
    return TarReader(root, data)


SOURCES.add("tar", Source(open=open_tar, reads=COMMON | DECODING | {"path", "broken_files"}))
