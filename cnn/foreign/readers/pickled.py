"""Reads pickles as data: an interpreter of their opcodes that never imports or calls anything."""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from cnn.foreign.readers.weights_file import UnreadableError


@dataclass(frozen=True)
class Global:
    """A class or function that a pickle names; it stays a name.

    Attributes:
      module: dotted.
      name: in the module.
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


# What a call that a pickle asks for is replaced with: (callee, arguments) -> value.
Call = Callable[[Global, tuple[Any, ...]], Any]

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"),
        *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    }
)
_STORES = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_FETCHES = frozenset({"GET", "BINGET", "LONG_BINGET"})


def load(stream: BinaryIO, call: Call, persistent: Callable[[Any], Any]) -> Any:
    """Reads one pickle from a stream and leaves the stream after it.

    `pickletools` takes the bytes apart; nothing of Python's unpickler is used. A call (REDUCE,
    NEWOBJ) is handed to `call`, whatever it names, and the state that BUILD would set is dropped.

    Args:
      stream: to read from.
      call: stands in for every call.
      persistent: returns objects stored outside the pickle.

    Raises:
      UnreadableError: cut, malformed, or with an opcode that data does not need.
    """
    machine = _Machine(call, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except UnreadableError:
        raise
    except ValueError as error:
        raise UnreadableError(f"its pickle is damaged or truncated ({error})") from error
    except Exception as error:
        # Of a stack or memo that lacks what the opcode takes: their messages name no cause.
        raise UnreadableError("its pickle is damaged or truncated") from error
    raise UnreadableError("its pickle is truncated")


class _Machine:
    def __init__(self, call: Call, persistent: Callable[[Any], Any]):
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._call, self._persistent = call, persistent

    def step(self, name: str, argument: Any) -> None:
        """Executes one opcode."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name in _STORES:
            self._memo[argument] = stack[-1]
        elif name in _FETCHES:
            stack.append(self._memo[argument])
        elif name not in ("PROTO", "FRAME"):
            handler = getattr(self, f"_{name.lower()}", None)
            if handler is None:
                raise UnreadableError(f"is refused: its pickle uses {name}, which data never needs")
            handler(argument)

    def _to_mark(self) -> list[Any]:
        place = (
            len(self.stack)
            - 1
            - next(i for i, value in enumerate(reversed(self.stack)) if value is _MARK)
        )
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._to_mark()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._to_mark()))

    def _list(self, _: Any) -> None:
        self.stack.append(self._to_mark())

    def _dict(self, _: Any) -> None:
        items = self._to_mark()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def _append(self, _: Any) -> None:
        value = self.stack.pop()
        self._container(list).append(value)

    def _appends(self, _: Any) -> None:
        items = self._to_mark()
        self._container(list).extend(items)

    def _additems(self, _: Any) -> None:
        items = self._to_mark()
        self._container(set).update(items)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._container(dict)[key] = value

    def _setitems(self, _: Any) -> None:
        items = self._to_mark()
        self._container(dict).update(zip(items[::2], items[1::2], strict=True))

    def _container(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"expected a {kind.__name__} to fill")
        return self.stack[-1]

    def _global(self, argument: str) -> None:
        self.stack.append(Global(*argument.split(" ", 1)))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(Global(str(module), str(name)))

    def _reduce(self, _: Any) -> None:
        arguments, callee = self.stack.pop(), self.stack.pop()
        if not isinstance(callee, Global) or not isinstance(arguments, tuple):
            raise UnreadableError(f"is refused: its pickle wants to call {str(callee)[:80]}")
        self.stack.append(self._call(callee, arguments))

    _newobj = _reduce

    def _inst(self, argument: str) -> None:
        arguments = tuple(self._to_mark())
        self.stack.append(self._call(Global(*argument.split(" ", 1)), arguments))

    def _obj(self, _: Any) -> None:
        callee, *arguments = self._to_mark()
        self.stack.extend((callee, tuple(arguments)))
        self._reduce(None)

    def _build(self, _: Any) -> None:
        self.stack.pop()

    def _binpersid(self, _: Any) -> None:
        self.stack.append(self._persistent(self.stack.pop()))
