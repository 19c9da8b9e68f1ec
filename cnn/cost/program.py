"""Compiles the training step for devices that need not be present, and estimates its cost."""

import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from cnn.config.seeds import Seeds
from cnn.cost.hlo import Collective, collectives, has_loops, main_memory_bytes
from cnn.cost.tpu_slices import Chip, Slice
from cnn.training.assembly import Evaluator, make_recipe, make_training_feed, make_update
from cnn.training.memory import held_bytes
from cnn.training.mesh import abstract_state, batch_sharding, replicated
from cnn.training.plan import make_training_plan
from cnn.training.schedules import make_schedule


@dataclass(frozen=True)
class Program:
    """What one device does and holds in a training step, as XLA compiled it.

    Attributes:
      devices: that share the batch.
      examples: of the batch on one device.
      state: bytes of the parameters, their momenta and averages on one device.
      memory: bytes: arguments, results that do not take an argument's place, and temporaries.
      bytes: that instructions read from and write to the main memory.
      counted_bytes: what XLA counts, memory on the chip and copies to it included; None of a
        program with loops (`train.accumulation`, `model.scan`), whose bodies XLA counts once.
      collectives: by kind.
      seconds: to compile.
    """

    devices: int
    examples: int
    state: int
    memory: int
    bytes: int
    counted_bytes: float | None
    collectives: dict[str, Collective]
    seconds: float


class DoesNotFitError(Exception):
    """The compiler found no way to fit the step into the memory of a device."""


def compile_step(here: Evaluator, mesh: Mesh) -> Program:
    """Compiles the step that `train.py` would run on a mesh, ahead of time.

    Args:
      here: the network, its config and data, on a device of this host.
      mesh: of devices to compile for.

    Raises:
      DoesNotFitError: a device does not have enough memory.
      UserError: config, data and mesh are inconsistent.
    """
    config, evaluator = here.config, replace(here, mesh=mesh)
    plan = make_training_plan(config, len(here.dataset.train), mesh.size)
    # Any batch has the right structure.
    small = replace(here, config=with_batch_size(config, 1))
    feed = make_training_feed(small, plan, batch_sharding(here.mesh), replicated(here.mesh))
    sizes = dict(zip(config.augment.sizes, (0, *plan.size_boundaries), strict=False))
    first = sizes[max(sizes)] if sizes else 0
    (one,) = feed.batches(first, first + 1)
    schedule = make_schedule(config.schedule, plan)
    recipe = make_recipe(evaluator, schedule, feed.cropped, plan.total_steps)
    size = config.train.batch_size
    batch = {
        name: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype, sharding=batch_sharding(mesh))
        for name, x in one.items()
    }
    seeds = Seeds(*map(np.uint32, Seeds.of(config)))
    arrays, seeds = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh)),
        (feed.arrays, seeds),
    )
    state = abstract_state(partial(recipe.init, input_shape=here.dataset.input_shape), mesh)
    lowered = make_update(recipe, mesh, state).lower(state, seeds, arrays, batch)
    begun = time.perf_counter()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise DoesNotFitError(_asked_for(str(error))) from error
        raise
    seconds = time.perf_counter() - begun
    return _program(compiled, state, mesh.size, size // mesh.size, seconds)


def with_batch_size(config: ConfigDict, batch_size: int) -> ConfigDict:
    """Returns the config with another batch."""
    other = config.copy_and_resolve_references()
    with other.unlocked():
        other.train.batch_size = batch_size
    return other.lock()


def _asked_for(error: str) -> str:
    found = re.search(r"\(([\d.]+\w)\) exceeds available HBM \(([\d.]+\w)\)", error)
    return f"{found[1]} of {found[2]}" if found else error.strip().splitlines()[0]


def _program(compiled: Any, state: Any, devices: int, examples: int, seconds: float) -> Program:
    memory, text = compiled.memory_analysis(), compiled.as_text()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return Program(
        devices=devices,
        examples=examples,
        state=held_bytes(state),
        memory=held - memory.alias_size_in_bytes + memory.temp_size_in_bytes,
        bytes=main_memory_bytes(text),
        counted_bytes=None if has_loops(text) else compiled.cost_analysis()["bytes accessed"],
        collectives=collectives(text),
        seconds=seconds,
    )


def plan_slice(
    make: Callable[[int], Evaluator], place: Slice, macs: int | None, per_chip: int
) -> dict[str, Any]:
    """Compiles a training step for a slice.

    Args:
      make: builds the network on a device of this host, for a batch of so many examples in all.
      place: the slice.
      macs: multiply-accumulates of the network for one example; None: unknown.
      per_chip: examples of one chip; 0: as many as fit.

    Returns:
      `slice`, `macs`, `fits`, and `why` not, or else the fields of `Program` and
      `seconds_at_least`, of `roofline`.
    """
    chips = place.mesh.size

    def compiled(examples: int) -> Program:
        return compile_step(make(examples * chips), place.mesh)

    row = {"slice": place.name, "macs": macs}
    try:
        if per_chip:
            program = compiled(per_chip)
        else:
            unit = make(chips).config.model.ghost_batch or 8
            program = largest(compiled, place.chip.memory, unit)
    except DoesNotFitError as error:
        return row | {"fits": False, "why": str(error)}
    # Forward, and backward by input and by kernel: three products of the same size, two operations
    # each multiply-accumulate.
    operations = None if macs is None else 6 * macs * program.examples
    least = roofline(program, place.chip, operations)
    return row | {"fits": True, "seconds_at_least": least} | asdict(program)


def roofline(program: Program, chip: Chip, operations: float | None) -> dict[str, float]:
    """Returns the least seconds that a step can take, by what bounds it.

    `compute`: the network's own operations at the chip's peak. `memory`: its bytes at full
    bandwidth. `network`: collectives as rings over all links, 2 (n - 1) / n of their bytes each.
    Overlapped perfectly, a step takes as long as the longest of the three.

    Args:
      program: compiled for so many devices, each of them a chip.
      chip: its peaks.
      operations: of the network's convolutions and linear maps for the examples of one chip; None,
        which leaves `compute` out: unknown.
    """
    sent = sum(found.bytes for found in program.collectives.values())
    share = 2 * (program.devices - 1) / program.devices
    known = {} if operations is None else {"compute": operations / chip.operations}
    return known | {
        "memory": program.bytes / chip.bandwidth,
        "network": share * sent / chip.interconnect,
    }


def largest(compiled: Callable[[int], Program], memory: int, unit: int) -> Program:
    """Returns the program of the most examples a device that compiles.

    Memory grows nearly in proportion to the examples, so two sizes give an estimate; the result
    is always verified by compiling it and the next larger size.

    Args:
      compiled: examples a device -> the program; raises `DoesNotFitError`.
      memory: bytes of a device, from which the search begins.
      unit: examples are multiples of it.

    Raises:
      DoesNotFitError: not even one unit fits.
    """
    best, fits, fails = compiled(unit), 1, math.inf
    fixed, slope = 0.0, best.memory
    while fails - fits > 1:
        guess = int((memory - fixed) / slope) if slope > 0 else 2 * fits
        units = max(fits + 1, min(guess, fails - 1))
        try:
            program = compiled(units * unit)
        except DoesNotFitError:
            fails = units
            continue
        slope = (program.memory - best.memory) / (units - fits)
        fixed = program.memory - slope * units
        best, fits = program, units
    return best
