"""Whether a run of `make train` reaches the accuracy that the README states.

python benchmarks/first_run.py RUN_FOLDER
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from scipy import special

from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError
from cnn.config.record import differences, from_plain
from cnn.training.run_folder import RunFolder

RESULTS = Path(__file__).parents[1] / "results"
LEVEL = 0.95


def committed(name: str = "first_run") -> list[dict[str, Any]]:
    """Returns the results of committed runs, which differ in nothing but the seed."""
    return [json.loads(path.read_text()) for path in sorted((RESULTS / name).glob("seed-*.json"))]


def accuracy_band() -> tuple[float, float]:
    """Returns the prediction interval of one more run's test accuracy, at `LEVEL`.

    Student's, for normal accuracies: mean ± t s sqrt(1 + 1/n) over the committed seeds.
    """
    accuracies = [result["test"]["accuracy"] for result in committed()]
    count, mean = len(accuracies), statistics.mean(accuracies)
    quantile = float(special.stdtrit(count - 1, (1 + LEVEL) / 2))
    half = quantile * statistics.stdev(accuracies) * (1 + 1 / count) ** 0.5
    return mean - half, mean + half


def check(folder: RunFolder) -> str:
    """Returns a sentence on a run within the band.

    Raises:
      UserError: the run is not finished, has another config, or lies outside.
    """
    result = folder.result()
    if result is None:
        raise UserError(f"{folder.path}: is not finished; train it to its end first")
    own, first = (from_plain(r["config"] | {"seed": 0}) for r in (result, committed()[0]))
    if differing := differences(first, own):
        raise UserError(f"{folder.path}: is not the first run: {'; '.join(differing)}")
    (low, high), accuracy = accuracy_band(), result["test"]["accuracy"]
    band = f"{low:.4f} to {high:.4f} ({LEVEL:.0%} prediction interval of the committed seeds)"
    if not low <= accuracy <= high:
        raise UserError(f"{folder.path}: test accuracy {accuracy:.4f} is outside {band}")
    return f"test accuracy {accuracy:.4f} is within {band}"


def main(arguments: list[str]) -> None:
    """Prints that the run is within the band, or ends with exit code 2."""
    parser = Parser(prog="benchmarks/first_run.py", description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="run folder of make train")
    print(check(RunFolder(parser.parse_args(arguments).folder)))


if __name__ == "__main__":
    run_command(main)
