"""How often the rule of the studies errs, what it can show, and whether that is what it promises.

python benchmarks/error_rates.py --out=benchmarks/results/error_rates.json [--only=planned]

Studies with known truths are drawn from a model of the outcomes of `results/pooling`: the log-odds
of a right answer are those of the example, plus what the arm changes on it, plus what the seed
does. Every row states what goes wrong in its studies; its rate is that of studies with at least
one false verdict. Everything is judged by `verdict.judge`, which reports call too; what depends on
runs that have not ended, or ended badly, by `study_analysis.kinds`, which is a report in a word per
arm. Ten minutes on one core; `--only` simulates the rows whose names contain a text, and keeps the
others.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy import optimize, special

sys.path.insert(0, str(Path(__file__).parents[1]))

from cnn.ablation.analysis.race import raced
from cnn.ablation.analysis.statistics.difference import (
    Difference,
    crossed,
    seed_floor,
    seed_variances,
    share_interval,
    welch,
)
from cnn.ablation.analysis.statistics.power import planned, power, seeds_needed
from cnn.ablation.analysis.statistics.sequential import AnalysisSchedule
from cnn.ablation.analysis.statistics.verdict import InterimAnalysis, Verdict, judge
from cnn.ablation.analysis.study_analysis import kinds
from cnn.ablation.analysis.study_results import Arm as StudyArm
from cnn.ablation.analysis.study_results import SeedRun, Status, cell_name
from cnn.ablation.analysis.study_results import Study as StudyOf

POOLING = Path(__file__).parents[1] / "results" / "pooling"
MARGIN = 0.005
EXAMPLES = 2000


@dataclass(frozen=True)
class Model:
    """What outcomes are drawn from, in log-odds.

    Attributes:
      mean, ease: mean and standard deviation over examples.
      arm: standard deviation of what an arm changes on an example.
      seed: standard deviation of what a seed does to all examples.
    """

    mean: float
    ease: float
    arm: float
    seed: float

    def accuracy(self, gain: float = 0.0, effects: np.ndarray | None = None) -> float:
        """Expected accuracy of an arm with a gain and, instead of normal ones, seed effects."""
        seeds = self.seed * _normal()[0] if effects is None else effects
        weights = _normal()[1] if effects is None else np.full(len(effects), 1 / len(effects))
        sd = np.hypot(self.ease, self.arm)
        logits = self.mean + gain + sd * _normal()[0][:, None] + seeds
        return float(_normal()[1] @ special.expit(logits) @ weights)

    def gain(self, difference: float, effects: np.ndarray | None = None) -> float:
        """The gain that changes the expected accuracy by a difference."""
        wanted = self.accuracy() + difference
        return float(optimize.brentq(lambda g: self.accuracy(g, effects) - wanted, -9, 9))


@cache
def _normal() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return nodes, weights / weights.sum()


@cache
def fitted() -> Model:
    """The model that has the accuracies and the agreements of two runs of results/pooling."""
    arms = []
    for folder in sorted(path for path in POOLING.iterdir() if path.is_dir()):
        files = sorted(folder.glob("seed-*/test_predictions.npz"))
        outcomes = [np.load(file) for file in files]
        arms.append(np.stack([o["prediction"] == o["label"] for o in outcomes]).astype(float))
    level = np.mean([arm.mean() for arm in arms])
    seeds, examples = arms[0].shape
    within = np.mean(
        [(a.sum(0) ** 2 - a.sum(0)).mean() / (seeds * (seeds - 1)) for a in arms]
    )  # two seeds of one arm are both right
    between = np.mean(
        [(a.mean(0) * b.mean(0)).mean() for i, a in enumerate(arms) for b in arms[:i]]
    )
    rows = np.mean([a.mean(1).var(ddof=1) - a.var(0, ddof=1).mean() / examples for a in arms])

    def both_right(mean: float, common: float, own: float) -> float:
        nodes, weights = _normal()
        each = special.expit(mean + common * nodes[:, None] + own * nodes) @ weights
        return float(weights @ each**2)

    def mean_of(sd: float) -> float:
        nodes, weights = _normal()
        return optimize.brentq(lambda m: special.expit(m + sd * nodes) @ weights - level, -9, 20)

    total = optimize.brentq(lambda sd: both_right(mean_of(sd), sd, 0.0) - within, 0.1, 12)
    ease = optimize.brentq(
        lambda sd: both_right(mean_of(total), sd, np.sqrt(total**2 - sd**2)) - between, 0.1, total
    )
    logits = mean_of(total) + total * _normal()[0]
    slope = _normal()[1] @ (special.expit(logits) * special.expit(-logits))
    own = np.sqrt(total**2 - ease**2)
    return Model(mean_of(total), float(ease), float(own), float(np.sqrt(max(rows, 0)) / slope))


@dataclass(frozen=True)
class Arm:
    """How the outcomes of one arm are drawn.

    Attributes:
      gain: in log-odds.
      effects: (rng, seeds) -> what each seed does, in log-odds.
    """

    gain: float
    effects: Callable[[np.random.Generator, int], np.ndarray]


def normal(spread: float = 1.0) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Seeds of a multiple of the fitted standard deviation."""
    return lambda rng, seeds: rng.normal(0, spread * fitted().seed, seeds)


def skewed(spread: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Seeds that lean to the left: the negative of an exponential distribution."""
    return lambda rng, seeds: spread * fitted().seed * (1 - rng.exponential(1, seeds))


@cache
def _quantiles(effects: str, spread: float) -> np.ndarray:
    grid = (np.arange(2000) + 0.5) / 2000
    unit = special.ndtri(grid) if effects == "normal" else 1 + np.log(grid)
    return spread * fitted().seed * unit


def like_baseline(effects: str = "normal", spread: float = 1.0, difference: float = 0.0) -> Arm:
    """An arm whose expected accuracy differs from the baseline's by so much."""
    draw = {"normal": normal, "skewed": skewed}[effects](spread)
    return Arm(fitted().gain(difference, _quantiles(effects, spread)), draw)


def draw(
    rng: np.random.Generator,
    arms: list[Arm],
    seeds: int,
    examples: int = EXAMPLES,
    units: np.ndarray | None = None,
    unit_sd: float = 0.0,
    mean: float | None = None,
) -> list[np.ndarray]:
    """Bool `[seeds, examples]` for each arm.

    Args:
      rng: of the random numbers.
      arms: the baseline first.
      seeds: of each.
      examples: of the test set, which all arms share.
      units: of the examples.
      unit_sd: standard deviation of what an arm changes on all examples of a unit.
      mean: of the log-odds; None: as fitted.
    """
    model, tables = fitted(), []
    ease = (model.mean if mean is None else mean) + rng.normal(0, model.ease, examples)
    for arm in arms:
        logits = ease + arm.gain + rng.normal(0, model.arm, examples)
        if units is not None:
            logits = logits + rng.normal(0, unit_sd, units.max() + 1)[units]
        logits = logits + arm.effects(rng, seeds)[:, None]
        tables.append(rng.random(logits.shape, np.float32) < special.expit(logits))
    return tables


def compare(
    tables: list[np.ndarray], *, pair: bool = False, units: np.ndarray | None = None
) -> list[Difference]:
    """Each arm against the first, as `study_analysis` compares them."""
    values = [table.mean(axis=1) for table in tables]
    shared = seed_variances(values, [seed_floor(table) for table in tables])
    return [
        crossed(table, tables[0], pair_seeds=pair, variances=(shared[i], shared[0]), units=units)
        for i, table in enumerate(tables)
        if i
    ]


def once(seeds: int) -> InterimAnalysis:
    """The only analysis of a study."""
    return InterimAnalysis(0, AnalysisSchedule((seeds,)))


def decide(
    differences: list[Difference | None], analysis: InterimAnalysis, margin: float = MARGIN
) -> list[Verdict]:
    """The verdicts on a family."""
    return judge(differences, margin, analysis=analysis)


def false(found: list[Verdict], kinds: tuple[str, ...] = ("better", "worse")) -> bool:
    """Whether any of the arms, which all are like the baseline, is called otherwise."""
    return any(
        verdict.kind in kinds or (verdict.different and "worse" in kinds) for verdict in found
    )


Study = Callable[[np.random.Generator], bool]


def equal_arms(seeds: int, others: int = 6, **how) -> Study:
    """Normal seeds, all arms alike."""
    arms = [like_baseline()] * (others + 1)
    return lambda rng: false(decide(compare(draw(rng, arms, seeds), **how), once(seeds)))


def one_arm(seeds: int, effects: str, spread: float, *, pair: bool = False) -> Study:
    """One arm whose seeds vary otherwise than those of the baseline and of an A/A control."""
    arms = [like_baseline(), like_baseline(), like_baseline(effects, spread)]
    return lambda rng: false(decide(compare(draw(rng, arms, seeds), pair=pair)[1:], once(seeds)))


def on_this_test_set(seeds: int, effects: str, spread: float) -> Study:
    """The same on one test set, with an A/A control that is no part of the family."""
    unit = {"normal": lambda rng, size: rng.normal(0, 1, size)}.get(
        effects, lambda rng, size: 1 - rng.exponential(1, size)
    )

    def study(rng: np.random.Generator) -> bool:
        # A seed moves the accuracy by 0.35 pp, as in results/pooling.
        values = [rng.normal(0.867, 0.0035, seeds) for _ in range(2)]
        values.append(0.867 + 0.0035 * spread * unit(rng, seeds))
        shared = seed_variances(values)
        found = welch(values[-1], values[0], (shared[-1], shared[0]))
        return false(decide([found], once(seeds)))

    return study


def reported(
    tables: list[np.ndarray], status: Callable[[int, int], Status] = lambda *_: "finished", **rule
) -> set[str]:
    """What a report calls the arms.

    Args:
      tables: as `draw` returns them.
      status: (arm, seed) -> what became of the run; one that is not finished has no outcomes.
      rule: further fields of the study.
    """
    return set(kinds(study_of(tables, status, **rule)).values())


def study_of(
    tables: list[np.ndarray], status: Callable[[int, int], Status] = lambda *_: "finished", **rule
) -> StudyOf:
    """A study of outcomes; see `reported`."""

    def run(arm: int, seed: int) -> SeedRun:
        outcomes, ending = tables[arm][seed], status(arm, seed)
        place = f"{arm}/{seed}"
        if ending != "finished":
            return SeedRun(seed, place, status=ending)
        return SeedRun(seed, place, {"accuracy": float(outcomes.mean())}, correct=outcomes)

    names = [str(arm) for arm in range(len(tables))]
    if "factors" in rule:
        names = [cell_name(one, two) for one in LEVELS[0] for two in LEVELS[1]]
    arms = tuple(
        StudyArm(name, seeds=tuple(run(arm, seed) for seed in range(len(tables[arm]))))
        for arm, name in enumerate(names)
    )
    return StudyOf("simulated", "", arms, names[0], MARGIN, **rule)


# Two factors of two levels, and the looks of a race.
LEVELS = ("a", "A"), ("b", "B")
LOOKS = (5, 10, 20)


def crossed_factors(seeds: int) -> Study:
    """Two factors with two levels each, which do nothing: arms, main effects and interaction."""
    arms = [like_baseline()] * 4
    factors = tuple(zip(("first", "second"), LEVELS, strict=True))
    return lambda rng: bool(reported(draw(rng, arms, seeds), factors=factors) & {"better", "worse"})


def race(looks: tuple[int, ...] = LOOKS) -> Study:
    """Four arms like the baseline in a race."""
    arms, schedule = [like_baseline()] * 5, AnalysisSchedule(looks, planned=len(looks))
    return lambda rng: bool(
        reported(draw(rng, arms, looks[-1]), race=True, schedule=schedule) & {"better", "worse"}
    )


def saved(studies: int, seed: int) -> dict[str, float | str]:
    """The share of the runs that a race saves, and of the studies with a false direction."""
    rng, schedule = np.random.default_rng(seed), AnalysisSchedule(LOOKS, planned=len(LOOKS))
    truths = (0.0, 0.03, 0.02, -0.02, -0.03)
    arms = [like_baseline(difference=truth) for truth in truths]
    taken, wrong = [], 0
    for _ in range(studies):
        found = raced(study_of(draw(rng, arms, LOOKS[-1]), race=True, schedule=schedule))
        taken.append(sum(len(arm.seeds) for arm in found.arms) / (len(arms) * LOOKS[-1]))
        said = kinds(found)
        wrong += any(
            said["", str(i)] == ("worse" if truth > 0 else "better")
            for i, truth in enumerate(truths)
            if truth
        )
    return {
        "setting": "true differences of 3, 2, -2 and -3 pp, looks at 5, 10 and 20 seeds",
        "saved": 1 - float(np.mean(taken)),
        "wrong": wrong / studies,
    }


def read_early(seeds: int) -> Study:
    """A report is read whenever a seed of all arms has ended, from the third on."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds)
        return any(
            reported(tables, lambda arm, seed, n=n: "finished" if seed < n else "begun")
            & {"better", "worse"}
            for n in range(3, seeds + 1)
        )

    return study


def seeds_added(seeds: int, most: int) -> Study:
    """As many seeds are added as the report advises, up to a limit, and once more."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables, analyses = draw(rng, arms, most), [seeds]
        while True:
            analysis = InterimAnalysis(len(analyses) - 1, AnalysisSchedule(tuple(analyses)))
            now = [table[: analyses[-1]] for table in tables]
            found = decide(compare(now), analysis)
            if false(found):
                return True
            if analyses[-1] == most or len(analyses) == 3:
                return False
            open_ = [v.difference for v in found if v.kind == "undecided"]
            level = analysis.level(0.05 / len(found))
            wanted = [seeds_needed(d, MARGIN, level, at_least=analyses[-1] + 1) for d in open_]
            if not any(wanted):
                return False
            analyses.append(min(most, max(filter(None, wanted))))

    return study


def planned_analyses(looks: tuple[int, ...]) -> Study:
    """Several planned analyses, the study ending at the first verdict."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, looks[-1])
        schedule = AnalysisSchedule(looks, planned=len(looks))
        return any(
            false(decide(compare([t[:n] for t in tables]), InterimAnalysis(i, schedule)))
            for i, n in enumerate(looks)
        )

    return study


def diverging(seeds: int, chance: float) -> Study:
    """Each seed of one arm diverges with a chance; those that do not are like the baseline's."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables, lost = draw(rng, arms, seeds), rng.random(seeds) < chance
        found = reported(tables, lambda a, s: "diverged" if a == 2 and lost[s] else "finished")
        return bool(found & {"better", "worse"})

    return study


def worst_lost(seeds: int, share: float) -> Study:
    """A share of the seeds of one arm is lost, the worst of them."""
    arms = [like_baseline()] * 3

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds)
        lost = set(np.argsort(tables[2].mean(axis=1))[: round(share * seeds)])
        found = reported(tables, lambda a, s: "diverged" if a == 2 and s in lost else "finished")
        return "better" in found

    return study


def clustered(seeds: int, count: int) -> Study:
    """Examples of a few units, to each of which an arm does something of its own."""
    arms, units = [like_baseline()] * 2, np.arange(EXAMPLES) % count

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds, units=units, unit_sd=0.12)
        return false(decide(compare(tables, units=units), once(seeds)))

    return study


def ties(seeds: int, examples: int) -> Study:
    """An accuracy of 0.99 on few examples, one arm worse by exactly the margin."""
    model = fitted()
    mean = optimize.brentq(lambda m: replace(model, mean=m).accuracy() - 0.99, 0, 40)
    worse = replace(model, mean=mean).gain(-MARGIN)
    arms = [Arm(0.0, normal()), Arm(worse, normal())]

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds, examples, mean=mean)
        return false(decide(compare(tables), once(seeds)), ("equivalent",))

    return study


def at_the_margin(seeds: int, examples: int) -> Study:
    """Arms that differ by exactly the margin, up or down."""
    arms = [like_baseline(), *(like_baseline(difference=s * MARGIN) for s in (1, -1))]

    def study(rng: np.random.Generator) -> bool:
        tables = draw(rng, arms, seeds, examples)
        return false(decide(compare(tables), once(seeds)), ("equivalent",))

    return study


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
    yield "examples of 2 units, named, 5 seeds", "different", clustered(5, 2)
    yield "examples of 20 units, named, 5 seeds", "different", clustered(5, 20)
    for n in (200, 250, 300, 400):
        yield (
            f"accuracy 0.99 on {n} examples, worse by the margin, 3 seeds",
            "equivalent",
            ties(3, n),
        )
    yield "arms at the margin, 10,000 examples, 5 seeds", "equivalent", at_the_margin(5, 10_000)
    yield "a race of four arms, looks at 5, 10 and 20 seeds", "different", race()
    yield "two factors crossed, arms and effects, 5 seeds", "different", crossed_factors(5)


def rate(study: Study, studies: int, seed: int) -> float:
    """The share of studies with a false verdict."""
    rng = np.random.default_rng(seed)
    return sum(study(rng) for _ in range(studies)) / studies


def coverage(kind: str, seeds: int, studies: int, seed: int) -> float:
    """How often intervals hold the truth: of one arm's accuracy, of a difference, or of all."""
    rng, inside = np.random.default_rng(seed), 0
    arms = [like_baseline()] * (6 if kind == "all differences" else 2)
    for _ in range(studies):
        if kind.startswith("an accuracy"):
            level = float(kind.rpartition(" ")[2])
            values = special.expit(special.logit(level) + rng.normal(0, 0.3, (1, seeds)))[0]
            truth = float(_normal()[1] @ special.expit(special.logit(level) + 0.3 * _normal()[0]))
            _, low, high = share_interval(values)
            inside += low <= truth <= high
            continue
        found = compare(draw(rng, arms, seeds))
        level = 0.95 if len(found) == 1 else 1 - once(seeds).level(0.05 / len(found))
        inside += all(low <= 0 <= high for low, high in (d.interval(level) for d in found))
    return inside / studies


def achieved(difference: float, seeds: int, examples: int, studies: int, seed: int) -> dict:
    """The power that a plan promises for a single comparison, and what simulated studies reach."""
    rng = np.random.default_rng(seed)
    arms = [like_baseline(), like_baseline(difference=difference)]
    pilots = [compare(draw(rng, arms, 10, 10_000))[0] for _ in range(40)]
    by_seed = np.mean([np.mean(pilot.seed_variances) for pilot in pilots])
    by_example = np.mean([pilot.example_variance * 10_000 for pilot in pilots])
    view = planned(
        difference, np.sqrt(by_seed), seeds, example_sd=np.sqrt(by_example), examples=examples
    )
    shown = sum(
        decide(compare(draw(rng, arms, seeds, examples)), once(seeds), 1e-6)[0].different
        for _ in range(studies)
    )
    return {
        "difference": difference,
        "seeds": seeds,
        "examples": examples,
        "promised": power(view, once(seeds).level(0.05)),
        "achieved": shown / studies,
    }


def deciding(seeds: int, studies: int, seed: int) -> dict:
    """How often one better arm of six is called better, and by whom.

    The oracle knows the standard deviation of the difference, which here is that of simulated
    studies, and takes it as normal; the difference is the one that it finds in 83 % of studies, at
    the level that Holm's procedure asks of the first of six arms.
    """
    rng = np.random.default_rng(seed)
    equal = [like_baseline()] * 2
    known = np.std([np.subtract(*(t.mean() for t in draw(rng, equal, seeds))) for _ in range(1000)])
    level = once(seeds).level(0.05 / 6)
    bound = -special.ndtri(level / 2)
    difference = float((bound + special.ndtri(0.83)) * known)
    arms = [*[like_baseline()] * 6, like_baseline(difference=difference)]
    counts = np.zeros(2)
    for _ in range(studies):
        found = compare(draw(rng, arms, seeds))
        by_rule = decide(found, once(seeds), margin=1e-6)[-1].kind == "better"
        counts += by_rule, found[-1].estimate > bound * known
    rule, oracle = map(float, counts / studies)
    found = {"seeds": seeds, "difference": difference, "rule": rule, "oracle": oracle}
    return found | {"studies": studies}


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
