"""Every operator beside the stock form of flax and lax, forward and forward + backward.

    python benchmarks/operators.py [--shape=128,32,32,32] [--repeats=9] [--only=max] [--out=FILE]

Each operator and its stock form are timed in turns, beside the 2x2 average pooling that is the unit
of cost. Only the ratios mean something on a machine that others use too.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks import record
from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError
from cnn.cost.timing import seconds_in_turns
from cnn.ops import adaptive, heads, mixed, polyphase, spectral, stochastic, weighted
from cnn.ops.average import avg_pool, subsample
from cnn.ops.blur import blur
from cnn.ops.convolution import conv, depthwise_conv
from cnn.ops.max_pool import max_pool
from cnn.ops.median import median_pool
from cnn.ops.wavelet import wavelet_pool

HALVES = (2, 2, "VALID")
STEM = (3, 2, "SAME")


@dataclass(frozen=True)
class Entry:
    """An operator as it is timed.

    Attributes:
      ours: (x, *arrays) -> y.
      stock: the same by flax or lax, if there is such a thing.
      arrays: shapes of further differentiable inputs for x `[B, H, W, C]`.
    """

    ours: Callable[..., Array]
    stock: Callable[..., Array] | None = None
    arrays: Callable[..., Sequence[tuple[int, ...]]] = lambda b, h, w, c: ()


def lax_conv(strides: int, groups_of_one: bool = False) -> Callable[[Array, Array], Array]:
    """Returns the native convolution with SAME padding."""

    def apply(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(
            x,
            kernel[..., None, :] if groups_of_one else kernel,
            (strides, strides),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=x.shape[-1] if groups_of_one else 1,
        )

    return apply


def lax_blur(x: Array) -> Array:
    """The mirrored 3-tap blur of stride 2 as a native grouped convolution."""
    row = np.array([1, 2, 1]) / 4
    kernel = jnp.asarray(np.outer(row, row)[..., None] * np.ones(x.shape[-1]), x.dtype)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    return lax_conv(2, groups_of_one=True)(padded, kernel)[:, : x.shape[1] // 2, : x.shape[2] // 2]


def flax_average(x: Array) -> Array:
    """2x2 average pooling."""
    return nn.avg_pool(x, (2, 2), (2, 2))


def flax_weighted(x: Array, logits: Array) -> Array:
    """Local importance pooling as two average poolings."""
    weights = jnp.exp(logits)
    return flax_average(x * weights) / flax_average(weights)


def fourier_crop(x: Array) -> Array:
    """FLC pooling through the transform of both axes at once."""
    h, w = x.shape[1:3]
    bins = jnp.fft.fftshift(jnp.fft.fft2(x, axes=(1, 2)), (1, 2))
    bins = bins[:, h // 4 : h // 4 + h // 2, w // 4 : w // 4 + w // 2]
    return jnp.fft.ifft2(jnp.fft.ifftshift(bins, (1, 2)), axes=(1, 2)).real / 4


def rearranged(x: Array) -> Array:
    """Space to depth by reshaping and transposing."""
    b, h, w, c = x.shape
    cut = x.reshape(b, h // 2, 2, w // 2, 2, c)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, -1)


def attention(x: Array, positions: Array, *projections: Array) -> Array:
    """CLIP's attention pool with four heads and without biases."""
    pairs = [(kernel, jnp.zeros(kernel.shape[-1])) for kernel in projections]
    return heads.attention_pool(x, positions, *pairs, heads=4)


def key() -> Array:
    """Returns the key of operators that draw."""
    return jax.random.key(0)


ENTRIES = {
    "max 2/2": Entry(lambda x: max_pool(x, *HALVES), lambda x: nn.max_pool(x, (2, 2), (2, 2))),
    "max 3/2": Entry(
        lambda x: max_pool(x, *STEM), lambda x: nn.max_pool(x, (3, 3), (2, 2), "SAME")
    ),
    "avg 2/2": Entry(lambda x: avg_pool(x, *HALVES), flax_average),
    "avg 3/2": Entry(
        lambda x: avg_pool(x, *STEM),
        lambda x: nn.avg_pool(x, (3, 3), (2, 2), "SAME", count_include_pad=False),
    ),
    "median 2/2": Entry(lambda x: median_pool(x, *HALVES)),
    "subsample": Entry(lambda x: subsample(x, 2), lambda x: x[:, ::2, ::2]),
    "conv 3x3": Entry(
        lambda x, k: conv(x, k, 1, "SAME"), lax_conv(1), lambda b, h, w, c: [(3, 3, c, c)]
    ),
    "conv 3x3 /2": Entry(
        lambda x, k: conv(x, k, 2, "SAME"), lax_conv(2), lambda b, h, w, c: [(3, 3, c, c)]
    ),
    "depthwise 3x3": Entry(
        lambda x, k: depthwise_conv(x, k, 1, "SAME"),
        lax_conv(1, groups_of_one=True),
        lambda b, h, w, c: [(3, 3, c)],
    ),
    "depthwise 3x3 /2": Entry(
        lambda x, k: depthwise_conv(x, k, 2, "SAME"),
        lax_conv(2, groups_of_one=True),
        lambda b, h, w, c: [(3, 3, c)],
    ),
    "blur 3": Entry(lambda x: blur(x, 3, 2, "adobe"), lax_blur),
    "blur 4": Entry(lambda x: blur(x, 4, 2, "adobe")),
    "max blur 3": Entry(
        lambda x: blur(max_pool(x, 2, 1, "SAME"), 3, 2, "adobe"),
        lambda x: lax_blur(nn.max_pool(x, (2, 2), (1, 1), "SAME")),
    ),
    "adaptive blur 3": Entry(
        lambda x, g: adaptive.adaptive_blur(x, 3, 2, "REFLECT", logits=g),
        arrays=lambda b, h, w, c: [(b, h // 2, w // 2, 8, 9)],
    ),
    "APS": Entry(lambda x: polyphase.select_phase(x, 2, "CIRCULAR")[0]),
    "LPS": Entry(
        lambda x, g: polyphase.take_phase(x, polyphase.phase_weights(g, key()), 2, "CIRCULAR"),
        arrays=lambda b, h, w, c: [(b, 4)],
    ),
    "space to depth": Entry(lambda x: polyphase.space_to_depth(x, 2, "VALID"), rearranged),
    "LIP": Entry(
        lambda x, g: weighted.lip(x, g, *HALVES),
        flax_weighted,
        lambda b, h, w, c: [(b, h, w, c)],
    ),
    "SoftPool": Entry(lambda x: weighted.soft_pool(x, *HALVES), lambda x: flax_weighted(x, x)),
    "Lp": Entry(
        lambda x, p: weighted.lp_pool(x, *HALVES, p=3 + p),
        lambda x, p: (4 * flax_average(jnp.abs(x) ** (3 + p))) ** (1 / (3 + p)),
        lambda b, h, w, c: [(1,)],
    ),
    "GeM": Entry(
        lambda x, p: weighted.gem_pool(x, *HALVES, p=3 + p),
        lambda x, p: flax_average(jnp.maximum(x, 1e-6) ** (3 + p)) ** (1 / (3 + p)),
        lambda b, h, w, c: [(1,)],
    ),
    "mixed": Entry(
        lambda x, a: mixed.mixed_pool(x, *HALVES, share=a),
        lambda x, a: a * nn.max_pool(x, (2, 2), (2, 2)) + (1 - a) * flax_average(x),
        lambda b, h, w, c: [(c,)],
    ),
    "gated": Entry(
        lambda x, k: mixed.gated_pool(x, k, 2, "VALID"), arrays=lambda b, h, w, c: [(2, 2)]
    ),
    "tree": Entry(
        lambda x, v, w: mixed.tree_pool(x, list(v), list(w), 2, "VALID"),
        arrays=lambda b, h, w, c: [(4, 2, 2), (3, 2, 2)],
    ),
    "stochastic": Entry(lambda x: stochastic.stochastic_pool(x, *HALVES, key=key(), train=True)),
    "S3": Entry(lambda x: stochastic.s3_pool(x, 2, 2, "SAME", key=key(), train=True)),
    "fractional max": Entry(
        lambda x: stochastic.fractional_max_pool(
            x, [int(n / 2**0.5) for n in x.shape[1:3]], key=key(), train=True
        )
    ),
    "spectral": Entry(lambda x: spectral.spectral_pool(x, 2)),
    "FLC": Entry(lambda x: spectral.flc_pool(x, 2), fourier_crop),
    "ASAP": Entry(lambda x: spectral.asap(x, 2)),
    "DiffStride": Entry(
        lambda x, s: spectral.diffstride(x, 2 + s, 2), arrays=lambda b, h, w, c: [(2,)]
    ),
    "Haar": Entry(lambda x: wavelet_pool(x, 2, wavelet="haar")),
    "db2": Entry(lambda x: wavelet_pool(x, 2, wavelet="db2")),
    "global avg": Entry(heads.global_avg, lambda x: x.mean((1, 2))),
    "global max": Entry(heads.global_max, lambda x: x.max((1, 2))),
    "global avg + max": Entry(heads.global_avg_max, lambda x: (x.mean((1, 2)) + x.max((1, 2))) / 2),
    "global GeM": Entry(
        lambda x, p: heads.global_gem(x, p=3 + p),
        lambda x, p: (jnp.maximum(x, 1e-6) ** (3 + p)).mean((1, 2)) ** (1 / (3 + p)),
        lambda b, h, w, c: [(1,)],
    ),
    "global log-sum-exp": Entry(
        lambda x: heads.global_log_sum_exp(x, r=10.0),
        lambda x: jax.nn.logsumexp(10 * x, (1, 2), b=1 / x[0, ..., 0].size) / 10,
    ),
    "attention": Entry(
        attention, arrays=lambda b, h, w, c: [(h * w + 1, c), (c, c), (c, c), (c, c), (c, c)]
    ),
    "SimPool": Entry(
        lambda x, q, k: heads.sim_pool(x, x, x, q, k),
        arrays=lambda b, h, w, c: [(c, c), (c, c)],
    ),
}
UNIT = ENTRIES["avg 2/2"]


def both(apply: Callable[..., Array]) -> Callable[..., tuple[Array, tuple[Array, ...]]]:
    """Returns a function of the inputs that gives the output and all gradients."""

    def run(*inputs: Array) -> tuple[Array, tuple[Array, ...]]:
        y, pull = jax.vjp(apply, *inputs)
        return y, pull(y)

    return run


def measure(entry: Entry, shape: Sequence[int], repeats: int) -> dict[str, dict[str, float]]:
    """Returns milliseconds and ratios of an entry, forward and with all gradients."""
    rng = np.random.default_rng(0)
    shapes = [tuple(shape), *entry.arrays(*shape)]
    inputs = [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]
    found = {}
    for pass_, wrap in (("forward", lambda f: f), ("forward_backward", both)):
        alternatives = {"ours": entry.ours, "stock": entry.stock, "unit": UNIT.ours}
        compiled = {k: jax.jit(wrap(f)) for k, f in alternatives.items() if f is not None}
        calls = {
            name: lambda f=f, given=inputs[: 1 if name == "unit" else None]: f(*given)
            for name, f in compiled.items()
        }
        seconds = seconds_in_turns(calls, repeats)
        ours = seconds["ours"]
        found[pass_] = {"milliseconds": 1e3 * ours, "times_avg_2x2": ours / seconds["unit"]}
        if entry.stock is not None:
            found[pass_]["stock_over_ours"] = seconds["stock"] / ours
    return {p: record.rounded(row) for p, row in found.items()}


def main(arguments: list[str]) -> None:
    """Times the operators, prints a table and writes the JSON file."""
    parser = Parser(prog="benchmarks/operators.py", description=__doc__.split("\n")[0])
    parser.add_argument("--shape", default="128,32,32,32", help="B,H,W,C of the input")
    parser.add_argument("--repeats", type=int, default=9, help="timed calls of each function")
    parser.add_argument("--only", default="", help="operators whose name contains this")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    try:
        shape = [int(n) for n in flags.shape.split(",")]
    except ValueError:
        shape = []
    if len(shape) != 4 or min(shape[1:]) < 8 or shape[1] % 2 or shape[2] % 2 or shape[3] % 8:
        raise UserError(
            f"--shape: {flags.shape} is not B,H,W,C with even H and W from 8 up and C a "
            "multiple of 8"
        )
    names = [name for name in ENTRIES if flags.only in name]
    if not names:
        raise UserError(f"--only: no operator is named like '{flags.only}'")
    made = record.conditions(shape=shape, repeats=flags.repeats)
    result = {"conditions": made, "operators": {}}
    print(f"{'operator':20} {'ms':>8} {'x avg':>7} {'stock/ours':>11}   the same with gradients")
    for name in names:
        result["operators"][name] = measure(ENTRIES[name], shape, flags.repeats)
        print(
            f"{name:20} {'   '.join(map(columns_of, result['operators'][name].values()))}",
            flush=True,
        )
    record.write(flags.out, result)


def columns_of(row: dict[str, float]) -> str:
    """Returns the metrics of a pass as columns."""
    stock = f"{row['stock_over_ours']:11.2f}" if "stock_over_ours" in row else f"{'-':>11}"
    return f"{row['milliseconds']:8.2f} {row['times_avg_2x2']:7.1f} {stock}"


if __name__ == "__main__":
    run_command(main)
