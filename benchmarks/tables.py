"""Fills the tables of README.md and docs from committed result files.

python benchmarks/tables.py
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.beside import beside
from benchmarks.first_run import LEVEL, accuracy_band, committed
from benchmarks.signal_tables import (
    held_out_speakers,
    moving_fashion,
    spoken_digits,
    streams,
    study,
    table,
)
from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.atlas.pages import front
from cnn.ablation.atlas.rows import read_rows
from cnn.ablation.execution.study_folder import StudyFolder
from cnn.ablation.planning.runs import folder_name
from cnn.ablation.report.headline import control_note
from cnn.ablation.report.markdown import escape_markdown, headlines
from cnn.cost.plan import COLUMNS, cells
from cnn.evaluation.shift.section import NAMES
from cnn.weights.table import markdown as weights_table

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    *(
        ROOT / "docs" / name
        for name in (
            "evaluation.md",
            "speed.md",
            "sound.md",
            "video.md",
            "weights.md",
            "statistics.md",
            "beside.md",
        )
    ),
)
POOLING = ROOT / "results" / "pooling"
SHIFT = ROOT / "results" / "shift"
RESULTS = ROOT / "benchmarks" / "results"


def first_run() -> str:
    """Returns the test accuracy and duration of `make train`, over the committed seeds."""
    results, (low, high) = committed(), accuracy_band()
    accuracies = [r["test"]["accuracy"] for r in results]
    seconds = sorted(r["seconds"] for r in results)
    versions, one = results[0]["versions"], results[0]
    listed = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
    return (
        f"Test accuracy: {statistics.mean(accuracies):.4f} (mean of {len(results)} seeds: "
        f"{listed});\n"
        f"another run is expected between {low:.4f} and {high:.4f} ({100 * LEVEL:.0f} % prediction "
        "interval).\n"
        f"A run took {seconds[0]:.0f} to {seconds[-1]:.0f} seconds on {one['cores']} cores of an "
        f"{one['cpu']}, the longest including\n"
        f"compilation (jax {versions['jax']}, Python {versions['python']}; "
        "[results/first_run](results/first_run))."
    )


def pooling() -> str:
    """Returns the verdicts of the study under results/pooling, and its forest plot."""
    analysis = analyze(collect(StudyFolder(POOLING)))
    study, place = analysis.study, POOLING.relative_to(ROOT)
    finished = sum(len(summary.runs) for summary in analysis.summaries.values())
    about = (
        f"{study.name}: {finished} runs on {study.hardware}, jax {study.versions['jax']}.\n"
        f"`{study.command}`"
    )
    return "\n\n".join(
        (
            headlines(analysis),
            escape_markdown(control_note(analysis)),
            f"![{study.name}: difference of each arm from the baseline]({place}/report.svg)",
            f"{about}\nproduced the [report]({place}/report.md) (download "
            f"[report.html]({place}/report.html) for curves, costs and every seed).",
        )
    )


def shift() -> str:
    """Returns the consistency of each arm of results/shift under each protocol, over its seeds."""
    study = StudyFolder(SHIFT)
    plan = study.plan()
    names = [name for name in plan.arms if name != plan.baseline]
    arms = {n: _runs_of(SHIFT / folder_name(n)) for n in (plan.baseline, *names)}
    some = next(iter(arms.values()))[0]

    def row(title: str, metric: Callable[[dict[str, Any]], float]) -> list[str]:
        found = [[100 * metric(run) for run in runs] for runs in arms.values()]
        return [title, *(f"{statistics.mean(f):.2f} ± {statistics.stdev(f):.2f}" for f in found)]

    rows = [
        row(title, lambda run, name=name: run["shift"][name]["consistency"])
        for name, title in NAMES.items()
        if name in some["shift"]
    ]
    rows.append(row("Accuracy, no shift", lambda run: run["test"]["accuracy"]))
    count, shifted = (some["shift"][n]["count"] for n in ("circular_grid", "all_shifts"))
    seeds = len(next(iter(arms.values())))
    about = (
        f"{plan.name}: mean ± standard deviation of {seeds} seeds,\n{count:,} test images "
        f"({shifted} for all shifts).\n`{study.command()}`\nproduced the "
        "[report](../results/shift/report.md), whose metric is the consistency."
    )
    return f"{table(['consistency (%)', *arms], rows)}\n\n{about}"


def _runs_of(arm: Path) -> list[dict[str, Any]]:
    """Reads the test metrics and the shift suite of every seed of an arm."""
    return [
        {
            "test": json.loads((seed / "result.json").read_text())["test"],
            "shift": json.loads(next(seed.glob("evaluation/shift/*.json")).read_text())["results"],
        }
        for seed in sorted(arm.glob("seed-*"))
    ]


def training() -> str:
    """Returns the training throughput next to stock flax and PyTorch, one table per machine."""
    files = sorted(path.name for path in RESULTS.glob("training*.json"))
    return "\n\n".join(_training(_read(name)) for name in files)


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
    return f"{table(head, rows)}\n\n{_conditions(result['conditions'])}"


def speed() -> str:
    """Returns the range of speed-ups over stock flax and PyTorch, in one sentence."""
    results = [_read(path.name) for path in sorted(RESULTS.glob("training*.json"))]
    rows = [row for result in results for row in result["networks"].values()]
    stock, torch = (sorted(row[f"{peer}_over_ours"] for row in rows) for peer in ("stock", "torch"))
    return (
        f"A training step on a CPU runs at {stock[0]:.2f} to {stock[-1]:.2f} times the speed of "
        f"stock flax and at {torch[0]:.2f} to\n{torch[-1]:.2f} times that of PyTorch, depending on "
        "network and machine ([docs/speed.md](docs/speed.md))."
    )


def operators() -> str:
    """Returns the time of every operator, relative to 2x2 average pooling and to stock flax."""
    result = _read("operators_cpu.json")

    def row(name: str, passes: dict[str, dict[str, float]]) -> Iterable[str]:
        yield name
        for times in passes.values():
            yield f"{times['milliseconds']:.3g}"
            yield f"{times['times_avg_2x2']:.2g}"
            yield f"{times['stock_over_ours']:.2f}" if "stock_over_ours" in times else ""

    head = ("operator", "ms", "times avg", "stock/ours", "ms", "times avg", "stock/ours")
    rows = (tuple(row(*item)) for item in result["operators"].items())
    return f"{table(head, rows)}\n\n{_conditions(result['conditions'])}"


def planning() -> str:
    """Returns compile-time estimates of a ResNet-50 training step on TPU slices."""
    result = _read("planning.json")
    made = result["conditions"]
    names = {
        "ours": "ours",
        "cut": f"ours, {made['pieces']} micro-batches",
        "stock": "stock flax",
    }
    rows = [(words, *cells(row)) for side, words in names.items() for row in result[side].values()]
    ((name, stock),) = result["stock"].items()
    ours, cut = (result[side][name] for side in ("ours", "cut"))
    said = (
        f"On {name}, ours moves {ours['bytes'] / stock['bytes']:.2f} times the main-memory bytes "
        f"of stock flax ({ours['counted_bytes'] / stock['counted_bytes']:.2f} by XLA's count), and "
        f"{cut['bytes'] / stock['bytes']:.2f} times with micro-batches. "
    )
    about = f"jax {made['versions']['jax']}, libtpu {made['libtpu']}, {made['date']}."
    return f"{table(('network', *COLUMNS), rows)}\n\n{said}{about}"


def loop() -> str:
    """Returns the overhead of the training loop over the bare compiled step."""
    result = _read("loop.json")
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
    return f"{table(head, rows)}\n\n{_machine(result['conditions'])}"


def reading() -> str:
    """Returns the throughput of loaders of encoded images, and the memory of streaming."""
    result = _read("input.json")
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
    said = f" Skipped: {skipped}." if skipped else ""
    return f"{table(head, rows)}\n\n{streamed}\n\n{_machine(result['conditions'])}{said}"


def pipelines() -> str:
    """Returns the throughput of whole input pipelines on the same files."""
    result = _read("pipelines.json")
    row, made = result["pipelines"], result["conditions"]
    rows = (
        (name, f"{row[f'{key}_images_per_second']:,.0f}", ratio)
        for name, key, ratio in (
            ("ours, threads", "ours", ""),
            ("DataLoader, processes", "data_loader", f"{row['data_loader_over_ours']:.2f}"),
        )
    )
    head = ("pipeline", "images/s", "time relative to ours")
    said = f"{row['workers']} workers each, {made['images']} files, {row['peer']}."
    return f"{table(head, rows)}\n\n{said} {_machine(made)}"


def bound() -> str:
    """Returns whether the first run is compute- or input-bound, by `python -m cnn.cost.bench`."""
    result = _read("bound.json")
    rows = (
        (placement, *(f"{speed:,.0f}" for speed in row["images_per_second"].values()))
        for placement, row in result["placements"].items()
    )
    head = ("images/s", "data only", "compute only", "both", "both, no augmentation")
    said = "\n".join(f"- {name}: {row['verdict']}." for name, row in result["placements"].items())
    made = result | {"load_at_start": result["load"]}
    return f"{table(head, rows)}\n\n{said}\n\n{_machine(made)}"


def startup() -> str:
    """Returns start-up times."""
    result = _read("startup.json")
    found, made = result["starts"], result["conditions"]
    names = {
        "help_seconds": "`train.py --help`",
        "mistake_seconds": "an error in the config",
        "cold_seconds": f"{made['network']} until the first step, cold compilation cache",
        "warm_seconds": "the same, warm compilation cache",
    }
    rows = ((text, f"{found[name]:.2f}") for name, text in names.items())
    said = f"Warm over cold: {found['warm_over_cold']:.2f}."
    return f"{table(('start', 'seconds'), rows)}\n\n{said} {_machine(made)}"


def compiling() -> str:
    """Returns the compilation time of each network's training step."""
    result = _read("compiling.json")
    rows = (
        (name, form, f"{row['compile_cpu_seconds']:.0f}", f"{row['compile_seconds']:.0f}")
        for name, forms in result["networks"].items()
        for form, row in forms.items()
    )
    head = ("network", "form", "CPU time (s)", "wall time (s)")
    return f"{table(head, rows)}\n\n{_machine(result['conditions'])}"


def growth() -> str:
    """Returns how costs scale with problem size."""
    result = _read("growth.json")
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
    return f"{table(head, rows)}\n\n{_machine(result['conditions'])}"


def _machine(made: dict[str, Any]) -> str:
    repeats = f", medians of {made['repeats']} interleaved repeats" if "repeats" in made else ""
    return (
        f"{made['cores']} cores of an {made['cpu']}{repeats}, load "
        f"{made['load_at_start']} at the start, jax {made['versions']['jax']}."
    )


def replicas() -> str:
    """Returns the speed-up of training two seeds at once over one after another."""
    result = _read("replicas.json")
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
    return f"{table(head, rows)}\n\n{_conditions(result['conditions'])}"


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / name).read_text())


def _conditions(made: dict[str, Any]) -> str:
    what = f"images {made['shape']}" if "shape" in made else f"batch {made['batch']}"
    return (
        f"{made['cores']} cores of an {made['cpu']}, {what}, {made['dtype']}, medians of "
        f"{made['repeats']} interleaved repeats, load {made['load_at_start']} at the start, "
        f"jax {made['versions']['jax']}, flax {made['versions']['flax']}, {made['date']}."
    )


def error_rates() -> str:
    """Returns the error rates of simulated studies, one row per setting."""
    found = _read("error_rates.json")
    rows = (
        (r["name"], r["error"], f"{r['studies']:,}", f"{100 * r['rate']:.1f}")
        for r in found["errors"]
    )
    head = ("setting", "false verdict", "studies", "error rate (%)")
    most = 100 * _upper(found["studies"])
    return (
        f"{table(head, rows)}\n\nOutcomes are modelled on results/pooling (2,000 test examples "
        "unless stated otherwise, an A/A\ncontrol in each), by `python benchmarks/error_rates.py`. "
        "Nominal level: 5 %; at that true rate, 95 of\n100 rows of "
        f"{found['studies']:,} studies would show at most {most:.1f} %."
    )


def _upper(studies: int) -> float:
    return 0.05 + 1.645 * (0.05 * 0.95 / studies) ** 0.5


def simulated_power() -> str:
    """Returns planned power next to the power of simulated studies with one arm."""
    found = _read("error_rates.json")["power"]
    rows = (
        (
            f"{100 * r['difference']:.1f} pp",
            str(r["seeds"]),
            f"{r['examples']:,}",
            f"{100 * r['promised']:.0f}",
            f"{100 * r['achieved']:.0f}",
        )
        for r in found
    )
    head = ("true difference", "seeds", "test examples", "planned power (%)", "power (%)")
    return table(head, rows)


def simulated_deciding() -> str:
    """Returns how often the rule finds a difference that an oracle finds in 83 % of studies."""
    rows = (
        (
            str(r["seeds"]),
            f"{100 * r['difference']:.1f} pp",
            f"{100 * r['rule']:.0f}",
            f"{100 * r['oracle']:.0f}",
            f"{r['studies']:,}",
        )
        for r in _read("error_rates.json")["deciding"]
    )
    return table(("seeds", "true difference", "rule (%)", "oracle (%)", "studies"), rows)


def simulated_coverage() -> str:
    """Returns the coverage of the 95 % intervals."""
    found = _read("error_rates.json")["coverage"]
    rows = ((r["of"], str(r["seeds"]), f"{100 * r['coverage']:.1f}") for r in found)
    return table(("95 % interval of", "seeds", "coverage (%)"), rows)


def atlas() -> str:
    """Returns what the atlas says, in five lines at most."""
    said = front(read_rows(ROOT / "results" / "atlas" / "atlas.json"))
    return f"{said}\n\nEvery operator, task and claim: the [atlas](docs/atlas.md)."


def null_rates() -> str:
    """Returns how often studies drawn from real runs of one config find a difference."""
    if not (RESULTS / "null.json").is_file():
        return "Not run: `python benchmarks/null.py` says how."
    found = _read("null.json")
    rows = (
        (
            r["population"],
            str(r["seeds"]),
            "yes" if r["paired"] else "no",
            f"{100 * r['rate']:.1f}",
        )
        for r in found["rates"]
    )
    head = ("scope of inference", "seeds per arm", "paired", "better or worse, percent of studies")
    return (
        f"{table(head, rows)}\n\n{found['studies']:,} studies per row, drawn from "
        f"{found['runs']} runs of one config (accuracy {100 * found['accuracy']:.2f} %, standard "
        f"deviation over\nseeds {100 * found['seed_sd']:.2f} pp, {found['examples']:,} test "
        f"examples) on {', '.join(found['hardware'])}, by `python benchmarks/null.py`;\na true "
        f"rate of 5 % would show as up to {100 * _upper(found['studies']):.1f} % in 95 of 100 "
        "rows. Nominal: 5 %."
    )


SECTIONS: dict[str, Callable[[], str]] = {
    "atlas": atlas,
    "error rates": error_rates,
    "null": null_rates,
    "power": simulated_power,
    "deciding": simulated_deciding,
    "coverage": simulated_coverage,
    "weights": weights_table,
    "beside": beside,
    "first run": first_run,
    "pooling": pooling,
    "shift": shift,
    "spoken digits": spoken_digits,
    "held-out speakers": held_out_speakers,
    "moving fashion": moving_fashion,
    "spectrogram pooling": partial(study, "spectrogram_pooling"),
    "temporal pooling": partial(study, "temporal_pooling"),
    "streams": streams,
    "speed": speed,
    "training": training,
    "replicas": replicas,
    "operators": operators,
    "planning": planning,
    "loop": loop,
    "reading": reading,
    "pipelines": pipelines,
    "bound": bound,
    "start-up": startup,
    "compiling": compiling,
    "growth": growth,
}


def fill(text: str) -> str:
    """Replaces the text between the markers of every section of a page."""
    for name, render in SECTIONS.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        if begin in text:
            before, rest = text.split(begin)
            text = f"{before}{begin}{render()}\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(fill(page.read_text()))
