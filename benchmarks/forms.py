"""What each form of our own that `cnn/ops` has for CPUs gains in a training step.

    python benchmarks/forms.py [--batch=128] [--repeats=15] [--only=resnet20] [--out=FILE]

The step of a network is compiled as it is, and with one form replaced by XLA's native one; all of
these programs are timed in turns. Timings of a form alone would mislead: in a step XLA lays out its
operands otherwise (`benchmarks/NOTES.md`).
"""

import math
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
from jax import Array

from benchmarks import record
from benchmarks.training import PAIRS, chosen, examples, our_step
from cnn.config.entry import Parser, run_command
from cnn.cost.timing import turn_ratio, turns
from cnn.ops import convolution, max_pool
from cnn.ops.padding import Window
from cnn.training.mesh import count_cores_as_devices


def native_kernel_gradient(window: Window, dilation: tuple[int, ...], x: Array, g: Array) -> Array:
    """Returns the gradient of a dense kernel as the transpose of the native convolution."""
    size = (-(-n // d) for n, d in zip(window.size, dilation, strict=True))
    kernel = jax.ShapeDtypeStruct((*size, x.shape[-1], g.shape[-1]), x.dtype)
    native = partial(convolution._native, window, dilation, 1, x)
    return jax.linear_transpose(native, kernel)(g)[0]


def native_max_pool(window: Window, x: Array) -> Array:
    """Returns max pooling by `lax.reduce_window`, whose gradient scatters to the maxima."""
    return jax.lax.reduce_window(
        x,
        -math.inf,
        jax.lax.max,
        (1, *window.size, 1),
        (1, *window.strides, 1),
        ((0, 0), *window.pads, (0, 0)),
    )


# The attribute that holds each form, and what takes its place.
NATIVE = {
    "kernel gradient": (convolution, "dense_kernel_gradient", native_kernel_gradient),
    "depthwise": (convolution, "_depthwise", convolution._grouped),
    "max pooling": (max_pool, "_max_pool", native_max_pool),
}


def measure(network: str, batch: int, repeats: int) -> dict[str, float]:
    """Returns, by form, how many times as long a step takes with the native one.

    Forms that do not occur in the network are left out.
    """
    images, labels = examples(batch)
    steps = {}
    for form, (module, name, native) in {"ours": (None, "", None), **NATIVE}.items():
        used = mock.Mock(side_effect=native)
        with mock.patch.object(module, name, used) if module else nullcontext():
            step, _ = our_step(PAIRS[network].ours(), images, labels)
            step()
        if used.called or form == "ours":
            steps[form] = step
    seconds = turns(steps, repeats)
    return {
        form: round(turn_ratio(taken, seconds["ours"]), 3)
        for form, taken in seconds.items()
        if form != "ours"
    }


def main(arguments: list[str]) -> None:
    """Measures, prints each network and writes the JSON file."""
    parser = Parser(prog="benchmarks/forms.py", description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=128, help="images")
    parser.add_argument("--repeats", type=int, default=15, help="timed steps of each")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    names = chosen(flags.only, flags.batch)
    count_cores_as_devices()
    made: dict[str, Any] = record.conditions(batch=flags.batch, repeats=flags.repeats)
    rows = {}
    for name in names:
        rows[name] = measure(name, flags.batch, flags.repeats)
        print(name, *(f"{form} {gain}" for form, gain in rows[name].items()), sep=", ", flush=True)
    record.write(flags.out, {"conditions": made, "networks": rows})


if __name__ == "__main__":
    run_command(main)
