"""From the command to the answer, and to the first step with and without the compilation cache.

    python benchmarks/startup.py [--repeats=3] [--network=resnet20] [--out=FILE]

Every start is a process of its own, in turns: the help, a mistake in the config, a training whose
programs have to be compiled (an empty cache), and the same one again. A training counts until its
first step is logged; it is stopped then.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import record
from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError

ROOT = Path(__file__).parents[1]
LIMIT = 1.5  # seconds, of the help and of a mistake


def training(network: str, workdir: Path) -> list[str]:
    """Returns the command of a training that logs its first step."""
    fields = (
        "data.source=synthetic",
        f"model.name={network}",
        "log.every=1 steps",
        "train.duration=1000 steps",
    )
    command = ["train.py", "--config=configs/base.py", f"--workdir={workdir}"]
    return command + [f"--config.{field}" for field in fields]


def until(command: list[str], words: str, cache: Path) -> float:
    """Returns the seconds until a command prints the words; stops it then.

    Raises:
      UserError: it ended without.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output = []
        for line in process.stdout:
            output.append(line)
            if words in line:
                seconds = time.perf_counter() - begun
                process.kill()
                return seconds
    raise UserError(f"{command[0]} never printed '{words}', but: {''.join(output)[-500:]}")


def measure(network: str, folder: Path, repeats: int) -> dict[str, float]:
    """Returns the medians of all starts, in seconds."""
    seconds: dict[str, list[float]] = {"help": [], "mistake": [], "cold": [], "warm": []}
    mistake = ["train.py", "--config=configs/base.py", "--workdir=x", "--config.seed=one"]
    for turn in range(repeats):
        cache = folder / f"cache-{turn}"
        seconds["help"].append(until(["train.py", "--help"], "--workdir", cache))
        seconds["mistake"].append(until(mistake, "error: ", cache))
        for start in ("cold", "warm"):
            command = training(network, folder / f"{start}-{turn}")
            seconds[start].append(until(command, "step 1/1000", cache))
    median = {f"{name}_seconds": statistics.median(each) for name, each in seconds.items()}
    return record.rounded(
        median | {"warm_over_cold": median["warm_seconds"] / median["cold_seconds"]}
    )


def main(arguments: list[str]) -> None:
    """Times the starts, prints them and writes the JSON file."""
    parser = Parser(prog="benchmarks/startup.py", description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="starts of each kind")
    parser.add_argument("--network", default="resnet20", help="that is trained")
    parser.add_argument("--out", default="", help="JSON file to write")
    flags = parser.parse_args(arguments)
    if flags.repeats < 1:
        raise UserError(f"--repeats: {flags.repeats} leaves nothing to measure; use 1 or more")
    made = record.conditions(repeats=flags.repeats, network=flags.network, limit=LIMIT)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(flags.network, Path(folder), flags.repeats)
    print("\n".join(f"{name:16} {value:8.2f}" for name, value in found.items()))
    record.write(flags.out, {"conditions": made, "starts": found})


if __name__ == "__main__":
    run_command(main)
