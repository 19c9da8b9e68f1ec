"""Parses the text of a compiled XLA program for communication and memory traffic."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
# What names buffers without moving them, and the ends of what was counted at its start.
_FREE = {"bitcast", "constant", "get-tuple-element", "parameter", "tuple", "while", "conditional"}
_ENDS = tuple(f"{name}-done" for name in (*COLLECTIVES, "copy", "slice", "async"))
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([\w\-]+)\((.*)$")
_SHAPE = re.compile(r"\b([a-z]+)(\d*)\w*\[([\d,]*)\](\{[^}]*\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_BODY = re.compile(r"\bbody=%?([\w.\-]+)")
_CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclass(frozen=True)
class Collective:
    """All collectives of one kind in a program.

    Attributes:
      count: of the operations that are run.
      bytes: of their results on one device.
    """

    count: int
    bytes: int


@dataclass(frozen=True)
class _Instruction:
    name: str
    shape: str
    kind: str
    rest: str

    def operands(self) -> list[str]:
        """Returns the names of the arguments."""
        return _NAME.findall(self.rest.partition(")")[0])


def collectives(text: str) -> dict[str, Collective]:
    """Counts the collectives of a program, those in loops as often as they are run."""
    found: dict[str, list[int]] = {}
    for instruction, times in _run(_computations(text)):
        kind = instruction.kind.removesuffix("-start")
        if kind in COLLECTIVES and not instruction.kind.endswith("-done"):
            found.setdefault(kind, []).extend([sum(_sizes(instruction.shape))] * times)
    return {kind: Collective(len(sizes), sum(sizes)) for kind, sizes in sorted(found.items())}


def main_memory_bytes(text: str) -> int:
    """Returns the bytes that a program reads from and writes to a device's main memory.

    Every instruction reads its arguments and writes its results whole. What lies in another memory
    space (of a TPU: on the chip) costs nothing; XLA's own count has it cost the same, and counts
    what is fetched there ahead once more.
    """
    computations = _computations(text)
    shapes = {i.name: i.shape for lines in computations.values() for i in lines}
    total = 0
    for instruction, times in _run(computations):
        if instruction.kind in _FREE or instruction.kind.endswith(_ENDS):
            continue
        if "ConcatBitcast" in instruction.rest:
            continue
        if instruction.kind in ("copy-start", "slice-start"):
            total += times * _moved(instruction.shape)
            continue
        touched = [instruction.shape, *(shapes.get(name, "") for name in instruction.operands())]
        total += times * sum(sum(_sizes(shape, main_only=True)) for shape in touched)
    return total


def _moved(shape: str) -> int:
    """Returns the bytes of main memory that an asynchronous copy touches, from its tuple's shape.

    The tuple holds where the copy comes from, where it goes to and its state; of a slice, where it
    comes from is the whole array.
    """
    places = [match for match in _SHAPE.finditer(shape) if match[3]]
    size = min(_size(place) for place in places[:2])
    return size * sum("S(" not in (place[4] or "") for place in places[:2])


def _computations(text: str) -> dict[str, list[_Instruction]]:
    """Returns the instructions of every computation by its name; the entry's name is ""."""
    found: dict[str, list[_Instruction]] = {}
    lines: list[_Instruction] = []
    for line in text.splitlines():
        if begun := _COMPUTATION.match(line):
            lines = found.setdefault("" if begun[1] else begun[2], [])
        elif instruction := _INSTRUCTION.match(line):
            lines.append(_Instruction(*instruction.groups()))
    return found


def _run(
    computations: dict[str, list[_Instruction]], name: str = "", times: int = 1
) -> Iterator[tuple[_Instruction, int]]:
    """Yields the instructions that are run and how often."""
    for instruction in computations[name]:
        yield instruction, times
        if body := instruction.kind == "while" and _BODY.search(instruction.rest):
            yield from _run(computations, body[1], times * _trips(computations, instruction))


def _trips(computations: dict[str, list[_Instruction]], loop: _Instruction) -> int:
    """Returns how often a loop runs: 1 if it cannot be told.

    XLA notes it on CPU; on TPU its condition says it, which compares a counter that jax starts at
    zero with a constant.
    """
    if known := _TRIPS.search(loop.rest):
        return int(known[1])
    condition = computations.get(_CONDITION.search(loop.rest)[1], [])
    constants = {i.name: i.rest.partition(")")[0] for i in condition if i.kind == "constant"}
    for compared in condition:
        if compared.kind == "compare" and "direction=LT" in compared.rest:
            limits = [constants[name] for name in compared.operands() if name in constants]
            return int(limits[0]) if limits else 1
    return 1


def has_loops(text: str) -> bool:
    """Whether a program has a loop that runs more than once; XLA's own counts run it once."""
    computations = _computations(text)
    return any(times > 1 for _, times in _run(computations))


def _sizes(shape: str, *, main_only: bool = False) -> list[int]:
    places = _SHAPE.finditer(shape)
    return [_size(p) for p in places if not (main_only and "S(" in (p[4] or ""))]


def _size(place: re.Match) -> int:
    """Returns the bytes of an array's shape; of a boolean, one."""
    bits = int(place[2] or 8) if place[1] != "token" else 0
    return math.prod(map(int, filter(None, place[3].split(",")))) * bits // 8
