"""Sections of docs/speed.md, and of the README about speed."""

from collections.abc import Iterable
from typing import Any

from benchmarks.sections.results import RESULTS, conditions_text, machine_text, read
from benchmarks.signal_tables import table
from cnn.cost.plan import COLUMNS, MEMORY_COLUMNS, memory_cells, plan_cells


def training() -> str:
    """Returns the training throughput next to stock flax and PyTorch, one table per result."""
    files = sorted(path.name for path in RESULTS.glob("training*.json"))
    return "\n\n".join(_training(read(name)) for name in files)


def _training(result: dict[str, Any]) -> str:
    columns = {
        "ours_images_per_second": ("images/s", ".0f"),
        "stock_images_per_second": ("stock flax (images/s)", ".0f"),
        "stock_over_ours": ("speed-up over stock", ".2f"),
        "torch_images_per_second": ("PyTorch (images/s)", ".0f"),
        "torch_over_ours": ("speed-up over PyTorch", ".2f"),
    }
    measured = next(iter(result["networks"].values()))
    shown = {key: column for key, column in columns.items() if key in measured}
    rows = (
        (name, f"{row['parameters']:,}", *(format(row[k], f) for k, (_, f) in shown.items()))
        for name, row in result["networks"].items()
    )
    head = ("network", "parameters", *(title for title, _ in shown.values()))
    return f"{table(head, rows)}\n\n{conditions_text(result['conditions'])}"


def speed() -> str:
    """Returns the range of speed-ups over stock flax and PyTorch, in one sentence."""
    results = [read(path.name) for path in sorted(RESULTS.glob("training*.json"))]
    rows = [row for result in results for row in result["networks"].values()]
    stock, torch = (sorted(row[f"{peer}_over_ours"] for row in rows) for peer in ("stock", "torch"))
    return (
        f"A training step on a CPU runs at {stock[0]:.2f} to {stock[-1]:.2f} times the speed of "
        f"stock flax and at {torch[0]:.2f} to\n{torch[-1]:.2f} times that of PyTorch, depending on "
        "network,\nmachine and version of jax ([docs/speed.md](docs/speed.md))."
    )


def operators() -> str:
    """Returns the time of every operator, relative to 2x2 average pooling and to stock flax."""
    result = read("operators_cpu.json")

    def row(name: str, passes: dict[str, dict[str, float]]) -> Iterable[str]:
        yield name
        for times in passes.values():
            yield f"{times['milliseconds']:.3g}"
            yield f"{times['times_avg_2x2']:.2g}"
            yield f"{times['stock_over_ours']:.2f}" if "stock_over_ours" in times else ""

    head = ("operator", "ms", "times avg", "stock/ours", "ms", "times avg", "stock/ours")
    rows = (tuple(row(*item)) for item in result["operators"].items())
    return f"{table(head, rows)}\n\n{conditions_text(result['conditions'])}"


def forms() -> str:
    """Returns what each form of our own gains in a step, one table per version of jax."""
    files = sorted(path.name for path in RESULTS.glob("forms*.json"))
    return "\n\n".join(_forms(read(name)) for name in files)


def _forms(result: dict[str, Any]) -> str:
    networks = result["networks"]
    names = list(dict.fromkeys(form for gains in networks.values() for form in gains))
    rows = (
        (network, *(f"{gains[form]:.2f}" if form in gains else "" for form in names))
        for network, gains in networks.items()
    )
    return f"{table(('network', *names), rows)}\n\n{conditions_text(result['conditions'])}"


def planning() -> str:
    """Returns compile-time estimates of a ResNet-50 training step on TPU slices."""
    result = read("planning.json")
    made = result["conditions"]
    names = {
        "ours": "ours",
        "cut": f"ours, {made['pieces']} micro-batches",
        "stock": "stock flax",
    }
    rows = [
        (words, *plan_cells(row)) for side, words in names.items() for row in result[side].values()
    ]
    ((name, stock),) = result["stock"].items()
    ours, cut = (result[side][name] for side in ("ours", "cut"))
    sentence = (
        f"On {name}, ours moves {ours['bytes'] / stock['bytes']:.2f} times the main-memory bytes "
        f"of stock flax ({ours['counted_bytes'] / stock['counted_bytes']:.2f} by XLA's count), and "
        f"{cut['bytes'] / stock['bytes']:.2f} times with micro-batches. "
    )
    about = f"jax {made['versions']['jax']}, libtpu {made['libtpu']}, {made['date']}."
    return f"{table(('network', *COLUMNS), rows)}\n\n{sentence}{about}"


def memory() -> str:
    """Returns what a chip holds with and without sharded parameters and recomputation."""
    result = read("planning_memory.json")
    rows = [memory_cells(row) for row in result["slices"]]
    about = f"jax {result['versions']['jax']}, commit {result['commit']}."
    return f"{table(MEMORY_COLUMNS, rows)}\n\nResNet-50 in bfloat16, {about}"


def loop() -> str:
    """Returns the overhead of the training loop over the bare compiled step."""
    result = read("loop.json")
    rows = (
        (
            name,
            f"{row['bare_milliseconds_a_step']:.3g}",
            f"{row['loop_milliseconds_a_step']:.3g}",
            f"{row['loop_over_bare']:.3f}",
            f"{row['cpu_loop_over_bare']:.3f}",
            f"{row['smallest_turn']:.3f} to {row['largest_turn']:.3f}",
            f"{row['added_microseconds_a_step']:.0f}",
        )
        for name, row in result["runs"].items()
    )
    head = ("run", "bare step (ms)", "loop (ms)", "loop/bare", "loop/bare (CPU time)")
    head += ("range over repeats", "overhead per step (µs)")
    return f"{table(head, rows)}\n\n{machine_text(result['conditions'])}"


def reading() -> str:
    """Returns the throughput of loaders of encoded images, and the memory of streaming."""
    result = read("input.json")
    ending = "_images_per_second"
    rows = (
        (kind, name.removesuffix(ending), f"{row[name]:,.0f}", f"{ratio:.2f}" if ratio else "")
        for kind, row in result["kinds"].items()
        for name in row
        if name.endswith(ending)
        for ratio in [row.get(name.replace(ending, "_over_ours"))]
    )
    head = ("files", "loader", "images/s", "time relative to ours")
    memory, skipped = result["memory_mib"], result["conditions"].get("skipped")
    streamed = (
        f"Resident memory while streaming {memory['images']:.0f} of the JPEG files: "
        f"{memory['after_a_fifth']:.0f} MiB after 20 %, {memory['at_the_end']:.0f} MiB at the "
        "end."
    )
    sentence = f" Skipped: {skipped}." if skipped else ""
    return f"{table(head, rows)}\n\n{streamed}\n\n{machine_text(result['conditions'])}{sentence}"


def pipelines() -> str:
    """Returns the throughput of whole input pipelines on the same files."""
    result = read("pipelines.json")
    row, made = result["pipelines"], result["conditions"]
    rows = (
        (name, f"{row[f'{key}_images_per_second']:,.0f}", ratio)
        for name, key, ratio in (
            ("ours, threads", "ours", ""),
            ("DataLoader, processes", "data_loader", f"{row['data_loader_over_ours']:.2f}"),
        )
    )
    head = ("pipeline", "images/s", "time relative to ours")
    sentence = f"{row['workers']} workers each, {made['images']} files, {row['peer']}."
    return f"{table(head, rows)}\n\n{sentence} {machine_text(made)}"


def bound() -> str:
    """Returns whether the first run is compute- or input-bound, by `python -m cnn.cost.bench`."""
    result = read("bound.json")
    rows = (
        (placement, *(f"{speed:,.0f}" for speed in row["images_per_second"].values()))
        for placement, row in result["placements"].items()
    )
    head = ("images/s", "data only", "compute only", "both", "both, no augmentation")
    sentence = "\n".join(
        f"- {name}: {row['verdict']}." for name, row in result["placements"].items()
    )
    made = result | {"load_at_start": result["load"]}
    return f"{table(head, rows)}\n\n{sentence}\n\n{machine_text(made)}"


def startup() -> str:
    """Returns start-up times."""
    result = read("startup.json")
    found, made = result["starts"], result["conditions"]
    names = {
        "help_seconds": "`train.py --help`",
        "mistake_seconds": "an error in the config",
        "cold_seconds": f"{made['network']} until the first step, cold compilation cache",
        "warm_seconds": "the same, warm compilation cache",
    }
    rows = ((text, f"{found[name]:.2f}") for name, text in names.items())
    sentence = f"Warm over cold: {found['warm_over_cold']:.2f}."
    return f"{table(('start', 'seconds'), rows)}\n\n{sentence} {machine_text(made)}"


def compiling() -> str:
    """Returns the compilation time of each network's training step."""
    result = read("compiling.json")
    rows = (
        (name, form, f"{row['compile_cpu_seconds']:.0f}", f"{row['compile_seconds']:.0f}")
        for name, forms in result["networks"].items()
        for form, row in forms.items()
    )
    head = ("network", "form", "CPU time (s)", "wall time (s)")
    return f"{table(head, rows)}\n\n{machine_text(result['conditions'])}"


def growth() -> str:
    """Returns how costs scale with problem size."""
    result = read("growth.json")
    rows = (
        (
            name,
            ", ".join(f"{size:,}" for size in row["sizes"]),
            ", ".join(f"{seconds:.3g}" for seconds in row["seconds"]),
            ", ".join(f"{times:.3g}" for times in row["times_the_first"]),
            f"{row['exponent']:.2f}",
        )
        for name, row in result["costs"].items()
    )
    head = ("cost", "sizes", "seconds", "relative to the first", "exponent")
    return f"{table(head, rows)}\n\n{machine_text(result['conditions'])}"


def replicas() -> str:
    """Returns the speed-up of training two seeds at once over one after another."""
    result = read("replicas.json")
    ways = {
        "processes": "two processes",
        "replicas": "replicas over the cores",
        "lax_map": "one device, `lax.map`",
        "vmap": "one device, `vmap`",
    }
    rows = (
        (
            name,
            f"{row['one_after_another_images_per_second']:.0f}",
            *(f"{row[f'{way}_gain']:.2f}" for way in ways),
        )
        for name, row in result["networks"].items()
    )
    head = ("network", "sequential (images/s)", *ways.values())
    return f"{table(head, rows)}\n\n{conditions_text(result['conditions'])}"
