"""The tables of docs/sound.md and docs/video.md, from committed results."""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cnn.ablation.analysis.collect import collect
from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.report.markdown import headlines

ROOT = Path(__file__).parents[1]
SPOKEN_DIGITS = ROOT / "results" / "spoken_digits"
HELD_OUT = SPOKEN_DIGITS / "held_out"
MOVING_FASHION = ROOT / "results" / "moving_fashion"
STREAMS = ROOT / "benchmarks" / "results" / "streams.json"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a Markdown table, its columns right-aligned but for the first."""
    head = list(head)
    align = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, align, *rows))


def spoken_digits() -> str:
    """Returns the accuracy on both splits of the spoken digits, over the seeds of each."""
    about = {
        "recordings": "recordings 0 to 4 of each digit and speaker",
        "speakers": "two speakers unseen in training",
    }
    results = {name: _results(SPOKEN_DIGITS, f"{name}-*.json") for name in about}
    rows = []
    for name, words in about.items():
        accuracies = [result["test"]["accuracy"] for result in results[name]]
        seconds = statistics.mean(result["seconds"] for result in results[name])
        listed = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
        one = results[name][0]
        count, steps = f"{one['test']['count']:,}", str(one["step"])
        mean = f"{statistics.mean(accuracies):.4f}"
        rows.append((words, count, mean, listed, steps, f"{seconds:.0f}"))
    head = ("test set", "recordings", "accuracy", "per seed", "steps", "seconds per run")
    return f"{table(head, rows)}\n\n{_made(results['recordings'][0], SPOKEN_DIGITS)}"


def held_out_speakers() -> str:
    """Returns the accuracy of each variant on held-out training speakers."""
    variants = {
        "as_before": '`normalize="train"`',
        "clip": '`normalize="clip"`',
        "clip_noise": "the same, with white noise at 5 to 30 dB SNR and wider masks",
        "clip_range": '`normalize="clip"` and `dynamic_range=40`, the config',
    }
    speakers = ("lucas", "nicolas")
    rows = []
    for name, words in variants.items():
        each = [_results(HELD_OUT, f"{name}-{speaker}.json")[0] for speaker in speakers]
        accuracies = [one["test"]["accuracy"] for one in each]
        listed = (f"{a:.4f}" for a in (*accuracies, statistics.mean(accuracies)))
        rows.append((words, *listed))
    head = ("fields", *(f"{speaker} held out" for speaker in speakers), "mean")
    text = f"One run each, with seed {each[0]['seed']} and {each[0]['step']} steps."
    return f"{table(head, rows)}\n\n{text}\n{_made(each[0], HELD_OUT)}"


def moving_fashion() -> str:
    """Returns the accuracy of a clip and a frame network where only motion is informative."""
    networks = {
        "clips": "`plain3d`: 3x3x3 convolutions",
        "frames": "`plain` on each frame, averaged over the frames",
    }
    results = {name: _results(MOVING_FASHION, f"{name}.json")[0] for name in networks}
    rows = (
        (words, f"{results[name]['test']['accuracy']:.4f}", f"{results[name]['seconds']:.0f}")
        for name, words in networks.items()
    )
    one = results["clips"]
    text = (
        f"Chance is {1 / len(one['test']['accuracy_per_class']):.2f}. One run each with seed "
        f"{one['seed']}, {one['step']} steps, {one['test']['count']:,} test clips."
    )
    head = ("network", "test accuracy", "seconds")
    return f"{table(head, rows)}\n\n{text}\n{_made(one, MOVING_FASHION)}"


def _results(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(pattern))]


def _made(one: dict[str, Any], folder: Path) -> str:
    place = folder.relative_to(ROOT)
    return (
        f"On {one['cores']} cores of an {one['cpu']} shared with other work (jax "
        f"{one['versions']['jax']}, Python {one['versions']['python']};\n[{place}](../{place}))."
    )


def study(name: str) -> str:
    """Returns the arms of a study under results, its verdicts and a link to its report."""
    analysis = analyze(collect(StudyFolder(ROOT / "results" / name)))
    found, place = analysis.study, f"../results/{name}"
    rows = []
    for (_, arm), summary in analysis.summaries.items():
        values = 100 * summary.values
        rows.append((arm, str(len(values)), f"{values.mean():.2f}", f"{values.std(ddof=1):.2f}"))
    head = ("arm", "seeds", "mean (%)", "standard deviation")
    about = (
        f"{found.name}, on {found.hardware}, jax {found.versions['jax']}.\n`{found.command}`\n"
        f"produced the [report]({place}/report.md)."
    )
    return "\n\n".join((table(head, rows), headlines(analysis), about))


def streams() -> str:
    """Returns whether decoding keeps up with the training step, and its memory."""
    result = json.loads(STREAMS.read_text())
    rows, text = [], []
    for name, found in result["signals"].items():
        for placement, row in found["placements"].items():
            speeds = (f"{speed:,.0f}" for speed in row["images_per_second"].values())
            rows.append((f"{name}, {placement}", *speeds))
            text.append(f"- {name}, {placement}: {row['verdict']}.")
        memory = found["memory_mib"]
        text.append(
            f"- {name}: resident memory while streaming {memory['examples']:,.0f} examples: "
            f"{memory['after_a_fifth']:.0f} MiB after 20 %, {memory['at_the_end']:.0f} MiB at the "
            "end."
        )
    head = ("examples/s", "data only", "compute only", "both", "both, no augmentation")
    made = result["conditions"]
    about = (
        f"{made['cores']} cores of an {made['cpu']}, medians of {made['repeats']} repeats of "
        f"{made['steps']} steps, load {made['load_at_start']} at the start, "
        f"jax {made['versions']['jax']}."
    )
    return f"{table(head, rows)}\n\n" + "\n".join(text) + f"\n\n{about}"
