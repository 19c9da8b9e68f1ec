"""The content of a PyTorch file: tensors over storages, and plain containers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from cnn.foreign.readers.pickled import Global
from cnn.foreign.readers.weights_file import UnreadableError

# Storage classes of torch by the dtype of their elements.
STORAGES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}


@dataclass
class Storage:
    """A flat array that tensors are views of.

    Attributes:
      key: its name in the file.
      dtype: of the elements.
      size: number of elements that the file declares.
      elements: once they are read.
    """

    key: str
    dtype: np.dtype
    size: int
    elements: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Tensor:
    """A strided view of a storage, as a pickle describes it.

    Attributes:
      storage: with the elements.
      offset: of the first, in elements.
      shape: of the tensor.
      strides: in elements.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Returns a read-only view.

        Raises:
          UnreadableError: it reaches beyond its storage, or is larger than it.
        """
        elements = self.storage.elements
        if elements is None:
            raise UnreadableError(f"the elements of storage '{self.storage.key}' are missing")
        if 0 in self.shape:
            return np.zeros(self.shape, self.storage.dtype)
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if last >= len(elements) or prod(self.shape) > len(elements):
            raise UnreadableError(
                f"a tensor {self.shape} reaches beyond the {len(elements)} elements of storage "
                f"'{self.storage.key}'"
            )
        size = elements.dtype.itemsize
        return np.lib.stride_tricks.as_strided(
            elements[self.offset :], self.shape, [s * size for s in self.strides], writeable=False
        )


def storage_of(described: Any, known: dict[str, Storage]) -> Storage:
    """Returns the storage that a persistent id describes, the same one for the same key."""
    kind, storage_class, key, _, size, *view = described
    dtype = STORAGES.get(getattr(storage_class, "name", ""))
    if kind != "storage" or dtype is None:
        raise UnreadableError(f"has elements of an unknown type ({storage_class})")
    if view and view[0] is not None:
        raise UnreadableError("contains storage views, as written by PyTorch before 0.4")
    return known.setdefault(str(key), Storage(str(key), dtype, _count(size)))


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a size")
    return value


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    counts = tuple(map(_count, shape)), tuple(map(_count, strides))
    return Tensor(storage, _count(offset), *counts)


def _first(value: Any, *_: Any) -> Any:
    return value


def _ordered(items: Any = ()) -> dict[Any, Any]:
    return dict(items)


def _nothing(*_: Any) -> None:
    return None


# The only allowed calls, and what is done in their place.
_CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _nothing,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch.Size": _nothing,
    "torch.device": _nothing,
    "argparse.Namespace": _nothing,
    "numpy.core.multiarray.scalar": _nothing,
    "numpy._core.multiarray.scalar": _nothing,
    "numpy.dtype": _nothing,
    "_codecs.encode": _nothing,
}


def call(callee: Global, arguments: tuple[Any, ...]) -> Any:
    """Stands in for a call that a pickle asks for.

    Raises:
      UnreadableError: tensors do not need this call; names it.
    """
    made = _CALLS.get(str(callee))
    if made is None:
        shown = ", ".join(repr(a)[:60] for a in arguments[:3])
        raise UnreadableError(
            f"is refused: it wants to call {callee}({shown}); only tensors and plain containers "
            "are read, so save state_dict() by itself"
        )
    return made(*arguments)
