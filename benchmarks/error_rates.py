"""Simulated error rates, power and coverage of the decision rule of studies.

python benchmarks/error_rates.py --out=benchmarks/results/error_rates.json [--only=planned]

Studies with known truths are drawn from a model of the outcomes of `results/pooling`. Every row
states what goes wrong in its studies; its rate is that of studies with at least one false verdict.
All are judged by `verdict.judge`, as reports are; what depends on runs that have not finished, or
failed, by `study_analysis.kinds`, a report in one word per arm. Ten minutes on one core; `--only`
simulates the rows whose names contain a text, and keeps the others.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.simulation.outcomes import fitted
from benchmarks.simulation.performance import achieved, coverage, deciding, rate, saved
from benchmarks.simulation.studies import (
    Study,
    at_the_margin,
    clustered_examples,
    crossed_factors,
    diverging,
    equal_arms,
    on_this_test_set,
    one_arm,
    planned_analyses,
    race,
    read_early,
    seeds_added,
    ties,
    worst_lost,
)


def _rows() -> Iterator[tuple[str, str, Study]]:
    different = "different"
    for n in (3, 5, 10):
        yield f"six arms like the baseline, normal seeds, {n} seeds", different, equal_arms(n)
    yield (
        "six arms like the baseline, seeds declared paired, 5 seeds",
        different,
        equal_arms(5, pair=True),
    )
    wide = "3 times the standard deviation"
    for n in (3, 5, 10):
        yield f"one arm of {wide}, {n} seeds", different, one_arm(n, "normal", 3.0)
    for n in (3, 5, 10):
        skewed_arm = one_arm(n, "skewed", 3.0)
        yield f"one arm of left-skewed seeds, {wide}, {n} seeds", different, skewed_arm
    yield (
        f"one arm of left-skewed seeds, {wide}, declared paired, 5 seeds",
        different,
        one_arm(5, "skewed", 3.0, pair=True),
    )
    for n in (3, 5, 10):
        yield (
            f"one arm of left-skewed seeds, {wide}, for this test set alone, {n} seeds",
            different,
            on_this_test_set(n, "skewed", 3.0),
        )
    yield "reports read after every seed, 10 seeds", "different", read_early(10)
    yield "planned analyses at 3, 6 and 10 seeds", "different", planned_analyses((3, 6, 10))
    yield "the advised seeds added to 5, up to 60, twice", "different", seeds_added(5, 60)
    yield "one seed in 20 of an arm diverges, 10 seeds", "different", diverging(10, 0.05)
    yield "the worst 20 % of an arm's seeds lost, 10 seeds", "better", worst_lost(10, 0.2)
    yield "examples of 2 units, named, 5 seeds", "different", clustered_examples(5, 2)
    yield "examples of 20 units, named, 5 seeds", "different", clustered_examples(5, 20)
    for n in (200, 250, 300, 400):
        yield (
            f"accuracy 0.99 on {n} examples, worse by the margin, 3 seeds",
            "equivalent",
            ties(3, n),
        )
    yield "arms at the margin, 10,000 examples, 5 seeds", "equivalent", at_the_margin(5, 10_000)
    yield "a race of four arms, analyses at 5, 10 and 20 seeds", "different", race()
    yield "two factors crossed, arms and effects, 5 seeds", "different", crossed_factors(5)


def _parts(studies: int) -> Iterator[tuple[str, str, Callable[[], dict]]]:
    """Yields every row: the part of the file it belongs to, its name, and what computes it."""
    for i, (setting, error, study) in enumerate(_rows()):
        # Without outcomes to draw, a study takes next to no time.
        count = studies * (10 if "alone" in setting else 1)
        # Every analysis of a race is judged anew.
        count //= 4 if "race" in setting else 1
        yield "errors", setting, partial(_error_row, error, study, count, i)
    plans = [(0.01, 10, 2000), (0.01, 5, 10_000), (0.005, 10, 10_000), (0.02, 3, 2000)]
    for i, plan in enumerate(plans):
        name = "power of {} with {} seeds on {} examples".format(*plan)
        yield "power", name, partial(achieved, *plan, studies // 2, i)
    for n in (3, 5, 10):
        yield "deciding", f"deciding with {n} seeds", partial(deciding, n, studies, n)
    for kind in ("a difference", "all differences", "an accuracy of 0.9", "an accuracy of 0.99"):
        for n in (3, 10):
            name = f"coverage of {kind} with {n} seeds"
            yield "coverage", name, partial(_coverage_row, kind, n, studies)
    yield "racing", "runs that a race saves", partial(saved, studies // 10, 0)


def _error_row(error: str, study: Study, studies: int, seed: int) -> dict:
    return {"error": error, "rate": rate(study, studies, seed), "studies": studies}


def _coverage_row(kind: str, seeds: int, studies: int) -> dict:
    return {"of": kind, "seeds": seeds, "coverage": coverage(kind, seeds, studies, seeds)}


def main() -> None:
    """Simulates everything and writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", default="", help="rows whose names contain this")
    options = parser.parse_args()
    out, studies = Path(options.out), options.studies
    kept = json.loads(out.read_text()) if options.only and out.is_file() else {}
    result = {"studies": studies, "model": vars(fitted()), "errors": [], "power": []}
    result |= {"deciding": [], "coverage": [], "racing": []} | kept
    if result["studies"] != studies:
        raise SystemExit(f"--studies: {out} has rows of {result['studies']} studies; give the same")
    parts = list(_parts(studies))
    order = [name for _, name, _ in parts]
    for part, name, simulate in parts:
        if options.only in name:
            row = {"name": name} | simulate()
            others = [r for r in result[part] if r["name"] != name]
            result[part] = sorted([*others, row], key=lambda r: order.index(r["name"]))
            print(row, flush=True)
            out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
