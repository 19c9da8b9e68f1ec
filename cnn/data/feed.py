"""Batches on the devices: gathered there from a resident split, or decoded ahead in threads."""

import collections
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.data.geometry import mirror
from cnn.data.order import Order, mirrored
from cnn.data.split import Crop, DrawCrops, Split

_CHUNK = 32  # examples decoded by one task, so that the threads share a batch
_READ = 512  # the same when a whole split is read
_STEPS = 32  # whose indices are placed at once: a transfer per step would cost the host most of all

# Split, indices of its examples, and the crop of each or None.
_Task = tuple[Split, np.ndarray, Any]


@dataclass(frozen=True, eq=False)
class Feed:
    """The training batches of one split.

    Attributes:
      arrays: {'input', 'label'} of the whole split, `[N, *shape]` as stored and int32 `[N]`, held
        by every device; () when the split streams. To be passed into the jitted step.
      cropped: random crops are taken while decoding, so the step skips them.
      alternates: images are mirrored in every other epoch, see `mirrored`.
    """

    split: Split
    arrays: Any
    cropped: bool
    alternates: bool
    _sharding: NamedSharding
    _batch_size: int
    _order: Order
    _crop_seed: int
    _workers: int
    _prefetch: int
    _draw_crops: DrawCrops | None
    _sizes: tuple[tuple[int, Split], ...] = ()

    def batches(self, start: int, stop: int) -> Iterator[dict[str, jax.Array]]:
        """Yields what `load` takes, one for each step in [start, stop).

        A step's batch depends on the seeds and the step alone: neither on `start`, nor on the
        placement, the number of workers or of processes.

        Raises:
          UserError: an example cannot be decoded (from any thread, at the batch that needs it).
        """
        rows = _addressable_rows(self._sharding, self._batch_size)
        if self.arrays:
            yield from self._gathered(rows, start, stop)
            return
        for values in self.values(start, stop):
            yield _place(values, rows, self._batch_size, self._sharding)

    def _gathered(self, rows: np.ndarray, start: int, stop: int) -> Iterator[dict[str, jax.Array]]:
        for first in range(start, stop, _STEPS):
            # Always the same number, so that one compiled program unpacks them.
            steps = [self._chosen(step, rows) for step in range(first, first + _STEPS)]
            block = {name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]}
            placed = _place(block, rows, self._batch_size, self._sharding)
            columns = {name: _unstack(self._sharding)(value) for name, value in placed.items()}
            for step in range(min(_STEPS, stop - first)):
                yield {name: values[step] for name, values in columns.items()}

    def values(self, start: int, stop: int) -> Iterator[Mapping[str, np.ndarray]]:
        """Yields this process's rows of what `batches` places, still on the host."""
        steps = range(start, stop)
        rows = _addressable_rows(self._sharding, self._batch_size)
        if self.arrays:
            for step in steps:
                yield self._chosen(step, rows)
            return
        tasks = (self._tasks(step, rows) for step in steps)
        decoded = _decode_ahead(tasks, self._workers, self._prefetch)
        with closing(decoded):
            for step, batch in zip(steps, decoded, strict=True):
                yield {**batch, **self._turns(step, rows)}

    def reseeded(self, order_seed: int, crop_seed: int) -> "Feed":
        """Returns the feed of another run over the same arrays."""
        order = Order(order_seed, len(self.split), self._order.repeats)
        return replace(self, _order=order, _crop_seed=crop_seed)

    def _chosen(self, step: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"index": self._indices(step)[rows], **self._turns(step, rows)}

    def _turns(self, step: int, rows: np.ndarray) -> dict[str, np.ndarray]:
        if not self.alternates:
            return {}
        indices = self._indices(step)[rows]
        epochs = self._order.epochs(step, self._batch_size)[rows]
        return {"mirrored": mirrored(self._crop_seed, len(self.split), indices, epochs)}

    def _split_at(self, step: int) -> Split:
        """Returns the split with images of the size that a step trains on."""
        return next((split for first, split in reversed(self._sizes) if step >= first), self.split)

    def _indices(self, step: int) -> np.ndarray:
        return self._order.batch(step, self._batch_size)

    def _tasks(self, step: int, rows: np.ndarray) -> list[_Task]:
        indices, split = self._indices(step)[rows], self._split_at(step)
        crops = None
        if self.cropped:
            drawn = self._draw_crops(self._crop_seed, step, self._batch_size)
            crops = [drawn[row] for row in rows]
        parts = [slice(i, i + _CHUNK) for i in range(0, len(rows), _CHUNK)]
        return [(split, indices[part], crops and crops[part]) for part in parts]


def make_feed(
    split: Split,
    data: ConfigDict,
    sharding: NamedSharding,
    replicated: NamedSharding,
    batch_size: int,
    seed: int,
    draw_crops: DrawCrops | None = None,
    crop_seed: int | None = None,
    repeats: int = 1,
    alternates: bool = False,
    sizes: Sequence[tuple[int, int]] = (),
) -> Feed:
    """Makes the training feed of a split, placed as `data.placement` says.

    Args:
      split: the train split.
      data: the data section of a config.
      sharding: of the batch axis over the mesh.
      replicated: on the same mesh, for a resident split.
      batch_size: global, divisible by the shards of the batch axis.
      seed: of the order of the examples.
      draw_crops: random parts to be taken while decoding (`Signal.draw_crops`), which needs a
        streaming placement; None: none are.
      crop_seed: of those crops and of the first mirrored half; None: the same seed.
      repeats: see `Order`.
      alternates: whether images are mirrored in alternate epochs.
      sizes: (updates made before, pixels) of a schedule of image sizes, which needs a
        streaming placement; (): none.

    Raises:
      UserError: the placement is unknown or not possible.
    """
    cropped = draw_crops is not None
    resident = _is_resident(split, data, must_stream=cropped or bool(sizes))
    return Feed(
        split=split,
        arrays=_resident_arrays(split, data.workers, replicated) if resident else (),
        cropped=cropped,
        alternates=alternates,
        _sharding=sharding,
        _batch_size=batch_size,
        _order=Order(seed, len(split), repeats),
        _crop_seed=seed if crop_seed is None else crop_seed,
        _workers=data.workers,
        _prefetch=data.prefetch,
        _draw_crops=draw_crops,
        _sizes=tuple((first, split.at_size(size)) for first, size in sizes),
    )


@dataclass(frozen=True, eq=False)
class EvalFeed:
    """Every example of one split once, in order.

    The batches of a resident split are placed on the devices once, for all evaluations. Splits of
    at least one batch have batches of one shape, so that one compiled step serves them all.

    Attributes:
      arrays: (); for the steps, which take those of a `Feed` too.
    """

    arrays: ClassVar[tuple[()]] = ()
    split: Split
    _sharding: NamedSharding
    _batch_size: int
    _workers: int
    _prefetch: int
    _views: Crop | None = None
    _held: tuple[dict[str, jax.Array], ...] = ()

    def batches(self) -> Iterator[dict[str, jax.Array]]:
        """Yields what `load` takes, and float32 'mask' `[rows]`: 1 for examples, 0 for padding.

        Several views of each example are 'views' `[rows, views, *shape]` in the place of 'input'.

        Batches hold `batch_size` examples, or all of a smaller split; the last one what is left.
        All have the same number of rows: that rounded up to a multiple of the shards.
        """
        if self._held:
            yield from self._held
            return
        sharding = self._sharding
        shards = 1 if sharding.is_fully_replicated else sharding.num_devices
        padded = -(-self._batch_size // shards) * shards
        rows = _addressable_rows(self._sharding, padded)
        chosen = [
            self._chosen(start, rows) for start in range(0, len(self.split), self._batch_size)
        ]
        tasks = (self._tasks(indices) for indices, _ in chosen)
        decoded = _decode_ahead(tasks, self._workers, self._prefetch)
        for (_, mask), batch in zip(chosen, decoded, strict=True):
            if self._views is not None:
                batch["views"] = batch.pop("input")
            yield _place({**batch, "mask": mask}, rows, padded, self._sharding)

    def _tasks(self, indices: np.ndarray) -> list[_Task]:
        parts = [indices[i : i + _CHUNK] for i in range(0, len(indices), _CHUNK)]
        return [(self.split, part, self._views and [self._views] * len(part)) for part in parts]

    def _chosen(self, start: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the example of each row (the last one again for padding) and the mask."""
        mask = (rows < self._batch_size) & (start + rows < len(self.split))
        indices = np.minimum(start + rows, len(self.split) - 1).astype(np.int32)
        return indices, mask.astype(np.float32)


def make_eval_feed(
    split: Split,
    data: ConfigDict,
    sharding: NamedSharding,
    batch_size: int,
    views: Crop | None = None,
) -> EvalFeed:
    """Makes the evaluation feed of a split; other arguments and errors as in `make_feed`.

    Args:
      views: function that takes several views of each example while decoding; None: the default
      view.
    """
    if views is not None and not split.varying:
        raise UserError(
            f"evaluation.views: the examples of {split.name} are not longer than a clip, so "
            "each has only one view; set it to 1"
        )
    feed = EvalFeed(
        split=split,
        _sharding=sharding,
        _batch_size=min(batch_size, len(split)),
        _workers=data.workers,
        _prefetch=data.prefetch,
        _views=views,
    )
    resident = _is_resident(split, data, must_stream=views is not None)
    return replace(feed, _held=tuple(feed.batches())) if resident else feed


def load_batch(arrays: Any, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Returns the arrays of a batch of a feed; to be traced inside the jitted step.

    Args:
      arrays: those of the feed.
      batch: one that its `batches` yielded.

    Returns:
      'input' `[B, *shape]` as stored, or mirrored where it is due, 'label' int32 `[B]` and, of
      an `EvalFeed`, 'mask' `[B]`.
    """
    found = dict(batch)
    if "index" in found:
        index = found.pop("index")
        # Indices come from `Order.batch`, so they are in range and need no clamping.
        gathered = {
            name: value.at[index].get(mode="promise_in_bounds") for name, value in arrays.items()
        }
        found = gathered | found
    if "mirrored" in found:
        found["input"] = mirror(found["input"], found.pop("mirrored"))
    return found


def _is_resident(split: Split, data: ConfigDict, must_stream: bool) -> bool:
    if must_stream and data.placement == "device":
        raise UserError(
            "data.placement: 'device' cannot be combined with random crops or views of examples "
            "that differ in size, or with augment.sizes, which are cropped while decoding; use "
            "'stream' or 'auto'"
        )
    if must_stream or data.placement != "auto":
        return data.placement == "device"
    size = int(np.prod(split.shape)) * split.dtype.itemsize
    return len(split) * size <= data.device_limit * 2**20


def _resident_arrays(split: Split, workers: int, replicated: NamedSharding) -> dict[str, jax.Array]:
    """Reads a whole split and puts it on every device."""
    examples = np.empty((len(split), *split.shape), split.dtype)
    labels = np.empty(len(split), np.int32)

    def read(start: int) -> None:
        rows = slice(start, start + _READ)
        examples[rows], labels[rows] = split.read(np.arange(*rows.indices(len(split))))

    pool = ThreadPoolExecutor(workers)
    try:
        for _ in pool.map(read, range(0, len(split), _READ)):
            pass
    finally:
        # Stop reading after an error.
        pool.shutdown(cancel_futures=True)
    return {
        "input": jax.make_array_from_callback(examples.shape, replicated, examples.__getitem__),
        "label": jax.make_array_from_callback(labels.shape, replicated, labels.__getitem__),
    }


def _decode_ahead(
    batches: Iterator[list[_Task]], workers: int, prefetch: int
) -> Iterator[dict[str, np.ndarray]]:
    """Reads batches, given as tasks, in threads; yields them in order.

    At most `prefetch` batches are decoded or in progress besides the one that is yielded. The
    threads end when the iterator is closed or fails.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    ahead: collections.deque[list[Future]] = collections.deque()

    def submit(count: int) -> None:
        for tasks in itertools.islice(batches, count):
            ahead.append([pool.submit(split.read, *chosen) for split, *chosen in tasks])

    try:
        submit(prefetch)
        while ahead:
            parts = [future.result() for future in ahead.popleft()]
            submit(1)
            examples, labels = (np.concatenate(values) for values in zip(*parts, strict=True))
            yield {"input": examples, "label": labels}
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _addressable_rows(sharding: NamedSharding, num_rows: int) -> np.ndarray:
    """Returns the rows of a global batch that this process's devices hold, in ascending order."""
    slices = sharding.addressable_devices_indices_map((num_rows,)).values()
    return np.unique(np.concatenate([np.arange(num_rows)[part] for part in slices]))


@lru_cache
def _unstack(sharding: NamedSharding) -> Callable[[jax.Array], list[jax.Array]]:
    return jax.jit(partial(jnp.unstack, axis=1), out_shardings=sharding)


def _place(
    values: Mapping[str, np.ndarray], rows: np.ndarray, num_rows: int, sharding: NamedSharding
) -> dict[str, jax.Array]:
    """Puts this process's rows on its devices, as parts of the global batch."""
    if len(rows) == num_rows:
        return dict(jax.device_put(dict(values), sharding))

    def place(local: np.ndarray) -> jax.Array:
        def part(index: tuple[slice, ...]) -> np.ndarray:
            return local[np.searchsorted(rows, np.arange(num_rows)[index[0]])]

        return jax.make_array_from_callback((num_rows, *local.shape[1:]), sharding, part)

    return {name: place(value) for name, value in values.items()}
