"""Runs a network on the shifts of a protocol, with the memory of one batch."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.data import load_batch
from cnn.evaluation.model_under_test import ModelUnderTest
from cnn.evaluation.shift.protocols import Protocol
from cnn.evaluation.shift.scores import clustered, grid_scores, pair_scores, path_scores, wilson
from cnn.training.metrics import STEPS_IN_FLIGHT

ShiftedOutcomes = Callable[..., dict[str, Array]]
# Predictions and probabilities `[S, B]`, and labels `[B]`.
ShiftTables = tuple[np.ndarray, np.ndarray, np.ndarray]
Predict = Callable[[np.ndarray], ShiftTables]
ProtocolGroup = dict[
    str, Protocol
]  # that move images in the same way, so share a compiled function


def make_probe(model: ModelUnderTest, move: Callable[[Array, Array], Array]) -> ShiftedOutcomes:
    """Returns jitted (variables, arrays, batch, offsets) -> outcomes on shifted images.

    Outcomes are `prediction` int32 `[B]`, `probability` of the correct class float32 `[B]`, and
    `label` `[B]`. Images are normalised before they are shifted. Offsets `[B, 2]`, one per image,
    take one compilation and offsets `[2]` another.
    """

    def probe(variables: Any, arrays: Any, batch: Any, offsets: Array) -> dict[str, Array]:
        data = load_batch(arrays, batch)
        images = move(model.normalize(data["input"]), offsets)
        logits = model.logits(variables, images)
        own = jnp.take_along_axis(jax.nn.softmax(logits), data["label"][:, None], axis=1)[:, 0]
        return {
            "prediction": logits.argmax(-1).astype(jnp.int32),
            "probability": own,
            "label": data["label"],
        }

    return jax.jit(probe)


class ConsistencyTally:
    """Accumulates the scores of one protocol over images.

    Args:
      protocol: that the tables come from.
    """

    def __init__(self, protocol: Protocol):
        self._protocol = protocol
        self._count = 0
        self._sums: dict[str, float] = {}
        self._shift_sums: dict[str, np.ndarray] = {}
        self._clusters: list[tuple[float, int]] = []

    def add(self, predictions: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Adds the tables `[S, B]` of a batch, and its labels `[B]`."""
        kind, count = self._protocol.kind, len(labels)
        if kind == "pairs":
            scores = pair_scores(predictions.reshape(-1, 2, count))
            self._clusters.append((float(scores["consistency"].mean()), count))
        else:
            scores = grid_scores(predictions, labels)
            if kind == "path":
                scores |= path_scores(predictions, probabilities)
            self._add_shift("accuracy", (predictions == labels).sum(1))
            self._add_shift("probability", probabilities.sum(1, dtype=np.float64))
        for name, values in scores.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(values.sum())
        self._count += count

    def _add_shift(self, name: str, values: np.ndarray) -> None:
        self._shift_sums[name] = self._shift_sums.get(name, 0) + values

    def summary(self) -> dict[str, Any]:
        """Returns means over the images with 95 % intervals, and means at each shift."""
        results: dict[str, Any] = {"about": self._protocol.about, "count": self._count}
        for name, total in self._sums.items():
            results[name] = total / self._count
        for name in set(self._sums) - {"deviation", "flips"}:
            results[f"{name}_interval"] = self._interval(name)
        if self._protocol.grid is not None:
            results["shifts"] = self._protocol.grid.tolist()
            for name, sums in self._shift_sums.items():
                results[f"{name}_at"] = (sums / self._count).tolist()
        return results

    def _interval(self, name: str) -> tuple[float, float] | None:
        if self._protocol.shared:
            return clustered(*zip(*self._clusters, strict=True))
        return wilson(min(self._sums[name] / self._count, 1.0), self._count)


def measure_shifts(
    model: ModelUnderTest, protocols: Mapping[str, Protocol]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Measures protocols on every example of a split.

    Args:
      model: network and examples.
      protocols: by name.

    Yields:
      After each batch, the number of examples seen and {protocol: `ConsistencyTally.summary`} over
      them.
    """
    tallies = {name: ConsistencyTally(protocol) for name, protocol in protocols.items()}
    groups = [
        (group, make_probe(model, next(iter(group.values())).move), _way(group))
        for group in _groups(protocols)
    ]
    seen = 0
    for batch in model.feed.batches():
        mask = np.asarray(batch["mask"]).astype(bool)
        for group, probe, find in groups:
            predict = partial(run_offsets, probe, model, batch)
            for name, tables in find(predict, group, seen, len(mask)):
                tallies[name].add(*(t[..., mask] for t in tables))
        seen += int(mask.sum())
        yield seen, {name: tally.summary() for name, tally in tallies.items()}


def run_offsets(
    probe: ShiftedOutcomes, model: ModelUnderTest, batch: Any, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns predictions and probabilities `[S, B]` at offsets, and the labels `[B]`.

    Offsets are `[S, B, 2]`, one per image, or `[S, 2]`, shared by all images.
    """
    rows: list[dict[str, Array]] = []
    for offset in offsets:
        rows.append(probe(model.variables, model.feed.arrays, batch, offset))
        if len(rows) > STEPS_IN_FLIGHT:
            jax.block_until_ready(rows[-1 - STEPS_IN_FLIGHT])
    rows = jax.device_get(rows)
    tables = [np.stack([row[name] for row in rows]) for name in ("prediction", "probability")]
    return tables[0], tables[1], rows[0]["label"]


def _way(group: ProtocolGroup) -> Callable[..., Iterator[tuple[str, ShiftTables]]]:
    """Returns the method that needs fewer passes over the images."""
    passes = sum(len(protocol.offsets(0, 1)) for protocol in group.values())
    return _look_up if len(_shifts(group)) <= passes else _predict_each


def _look_up(
    predict: Predict, group: ProtocolGroup, seen: int, rows: int
) -> Iterator[tuple[str, ShiftTables]]:
    """Predicts every shift of the protocols once, and looks up the shifts of each image."""
    shifts = _shifts(group)
    predictions, probabilities, labels = predict(shifts)
    place = {tuple(shift): i for i, shift in enumerate(shifts)}
    for name, protocol in group.items():
        offsets = protocol.offsets(seen, rows)
        flat = [place[tuple(offset)] for offset in offsets.reshape(-1, 2)]
        index = np.array(flat).reshape(offsets.shape[:2]), np.arange(rows)
        yield name, (predictions[index], probabilities[index], labels)


def _predict_each(
    predict: Predict, group: ProtocolGroup, seen: int, rows: int
) -> Iterator[tuple[str, ShiftTables]]:
    """Predicts the shifts of each protocol separately."""
    for name, protocol in group.items():
        offsets = protocol.offsets(seen, rows)
        yield name, predict(offsets[:, 0] if protocol.same_for_all else offsets)


def _shifts(group: ProtocolGroup) -> np.ndarray:
    """Returns the distinct shifts `[D, 2]` of some protocols."""
    every = np.concatenate([protocol.shifts() for protocol in group.values()])
    dtype = next(iter(group.values())).offsets(0, 1).dtype
    return np.unique(every, axis=0).astype(dtype)


def _groups(protocols: Mapping[str, Protocol]) -> list[ProtocolGroup]:
    groups: dict[Any, ProtocolGroup] = {}
    for name, protocol in protocols.items():
        groups.setdefault(_identity(protocol.move), {})[name] = protocol
    return list(groups.values())


def _identity(move: Any) -> Any:
    function = getattr(move, "func", move)
    return function, tuple(sorted(getattr(move, "keywords", {}).items()))
