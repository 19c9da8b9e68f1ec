"""Fault injection: what is lost when a run is killed, damaged or runs out of space.

    python benchmarks/reliability.py --out=FILE [--times=20] [--only=hosts]
    python benchmarks/reliability.py --page

Each fault is injected into runs of a small network in separate processes, which are then resumed by
the same command. The outcome is compared with an undisturbed run: state, metrics, predictions and
result must be bitwise equal. Every try is recorded as soon as it has ended, and the same command
makes those that are missing: of all faults, or of those whose names contain `--only`. `--page`
writes docs/reliability.md from the committed result file.
"""

import json
import random
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from benchmarks import record
from benchmarks.faults.fault import Fault
from benchmarks.faults.hosts import hosts
from benchmarks.faults.results import evaluations, reports, studies
from benchmarks.faults.storage import damage, full_disk, small_files
from benchmarks.faults.training import (
    final_evaluation,
    interrupted_start,
    kill_at_operations,
    kills,
    signals,
)
from cnn.config.entry import Parser, run_command

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "reliability.json"
SOAK = RESULT.with_name("soak.json")
FUZZ = RESULT.with_name("fuzz.json")
PAGE = ROOT / "docs" / "reliability.md"
_SHOWN = 150  # characters of what was lost
_MADE_ON = {"commits": "commit", "cpus": "cpu"}  # of a fault: what the conditions call it
FAULTS: dict[str, Callable[[Path], Fault | None]] = {
    "Training: SIGKILL at random moments, three times a run": kills,
    "Training: SIGKILL in the final evaluation": final_evaluation,
    "Training: SIGKILL before a file operation": kill_at_operations,
    "Training: SIGINT or SIGTERM at a random moment": signals,
    "Training: SIGINT while it starts": interrupted_start,
    "Newest checkpoint damaged: a bit flipped, a file cut or removed": damage,
    "Files limited in size": small_files,
    "Disk full": full_disk,
    "eval.py: SIGKILL before a file operation": evaluations,
    "Study: SIGKILL to worker, runner or both": studies,
    "Report of a study: SIGKILL before a file operation": reports,
    "Two hosts: SIGKILL or SIGTERM to one": hosts,
}


def page(result: dict[str, Any]) -> str:
    """Returns docs/reliability.md with the table of a result."""
    lines = [
        "| fault | trials | failures | seconds to resume |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, row in result["faults"].items():
        if row["most"]:
            name += f" (of {row['most']})"
        seconds = round(float(np.median(row["seconds"])), 1)
        lines.append(f"| {name} | {len(row['seconds'])} | {len(row['lost'])} | {seconds} |")
    if SOAK.is_file():
        soaked = json.loads(SOAK.read_text())
        first, last = soaked["first"], soaked["last"]
        lines += [
            "",
            f"One process that trained {soaked['steps']:,} steps in {soaked['minutes']:g} minutes "
            f"held {first['mib']} MiB, {first['threads']} threads and {first['files']} open files "
            f"after a quarter of them, and {last['mib']}, {last['threads']} and {last['files']} at "
            f"the end; a linear fit to the memory in between changes by "
            f"{soaked['rise_mib']:+.1f} MiB (`benchmarks/soak.py`). TensorStore leaks a few "
            "strings for each array of each checkpoint (`KvStore.Spec.to_json`): "
            f"{soaked['tensorstore_mib']:.1f} MiB in that time, of {soaked['checkpoints']:,} "
            "checkpoints in all.",
        ]
    if FUZZ.is_file():
        fuzzed = json.loads(FUZZ.read_text())
        lines += [
            "",
            f"Of {fuzzed['tried']:,} random overrides (`make fuzz`), {fuzzed['accepted']:,} were "
            f"accepted and {fuzzed['refused']:,} rejected with a one-line message; "
            f"{len(fuzzed['tracebacks']) or 'none'} ended in a traceback.",
        ]
    made = result["conditions"]
    rows = result["faults"].values()
    commits, cpus = (sorted({one for row in rows for one in row[of]}) for of in _MADE_ON)
    lines += [
        "",
        f"Made by `make reliability` on {made['date']}, {' and '.join(cpus)}, jax "
        f"{made['versions']['jax']}, commit {', '.join(commits)}.",
    ]
    found = [(name, one) for name, row in result["faults"].items() for one in row["lost"]]
    lines += ["", *(f"- {name}: {textwrap.shorten(one, _SHOWN)}" for name, one in found)]
    before, _, rest = PAGE.read_text().partition("<!-- faults -->\n")
    after = rest.partition("<!-- end faults -->")[2]
    return f"{before}<!-- faults -->\n" + "\n".join(lines) + f"\n<!-- end faults -->{after}"


def attempts(
    make: Callable[[Path], Fault | None], name: str, row: dict[str, Any], times: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Makes the tries of a fault that are missing; yields its row after each."""
    with tempfile.TemporaryDirectory() as folder:
        fault = make(Path(folder))
        if fault is None:
            print(f"{name}: not tried, as mounting is not permitted", flush=True)
            return
        row["most"] = fault.most
        for number in range(len(row["seconds"]), min(times, fault.most or times)):
            chance = random.Random(f"{seed} {name} {number}")
            outcome = fault.attempt(Path(folder) / f"try-{number}", chance, number)
            row["seconds"].append(round(outcome.seconds, 2))
            row["lost"] += [outcome.lost] if outcome.lost else []
            print(f"{name}, try {number}: {outcome.lost or 'nothing lost'}", flush=True)
            yield row


def main(arguments: list[str]) -> None:
    """Makes the tries that are missing and writes each down; or writes the page."""
    parser = Parser(prog="benchmarks/reliability.py", description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=20, help="tries of each fault")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments and places")
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--out", default="", help="JSON file to write, or to add to")
    parser.add_argument("--page", action="store_true", help="write docs/reliability.md")
    flags = parser.parse_args(arguments)
    if flags.page:
        PAGE.write_text(page(json.loads(RESULT.read_text())))
        return
    there = Path(flags.out).is_file() if flags.out else False
    result: dict[str, Any] = json.loads(Path(flags.out).read_text()) if there else {"faults": {}}
    result["conditions"] = record.conditions(seed=flags.seed)
    for name, make in FAULTS.items():
        made_on = {of: result["conditions"][one] for of, one in _MADE_ON.items()}
        new = {"most": 0, "seconds": [], "lost": [], **{of: [] for of in _MADE_ON}}
        row = result["faults"].get(name, new)
        wanted = min(flags.times, row["most"] or flags.times)
        if flags.only in name and len(row["seconds"]) < wanted:
            row |= {of: sorted({*row[of], one}) for of, one in made_on.items()}
            for made in attempts(make, name, row, flags.times, flags.seed):
                result["faults"][name] = made
                record.write(flags.out, result)


if __name__ == "__main__":
    run_command(main)
