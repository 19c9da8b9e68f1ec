"""Sections of docs/statistics.md: error rates, power and coverage."""

from typing import Any

from benchmarks.sections.results import RESULTS, read
from benchmarks.signal_tables import table


def error_rates() -> str:
    """Returns the error rates of simulated studies, one row per setting."""
    found = read("error_rates.json")
    rows = (
        (r["name"], r["error"], f"{r['studies']:,}", f"{100 * r['rate']:.1f}")
        for r in found["errors"]
    )
    head = ("setting", "false verdict", "studies", "error rate (%)")
    most = 100 * _upper(found["studies"])
    return (
        f"{table(head, rows)}\n\nOutcomes are modelled on results/pooling (2,000 test examples "
        "unless stated otherwise, an A/A\ncontrol in each), by `python benchmarks/error_rates.py`. "
        "That study was trained before the compiled gradient\nof max pooling was corrected (commit "
        "741ddd5); only level, spread and agreement of its outcomes are used. "
        "Nominal level: 5 %.\nMonte Carlo error: at a true rate of 5 %, 95 % of rows of "
        f"{found['studies']:,} studies would show at most {most:.1f} %.{_racing(found)}"
    )


def _racing(found: dict[str, Any]) -> str:
    """Returns what a race saves, in words."""
    (race,) = found["racing"]
    return (
        f"\n\nWith {race['setting']},\na race trains {100 * (1 - race['saved']):.0f} % of the runs "
        f"({race['studies']} studies, {100 * race['wrong']:.0f} % with a verdict in the wrong "
        "direction)."
    )


def _upper(studies: int) -> float:
    return 0.05 + 1.645 * (0.05 * 0.95 / studies) ** 0.5


def simulated_power() -> str:
    """Returns planned power next to the power of simulated studies with one arm."""
    found = read("error_rates.json")["power"]
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
        for r in read("error_rates.json")["deciding"]
    )
    return table(("seeds", "true difference", "rule (%)", "oracle (%)", "studies"), rows)


def simulated_coverage() -> str:
    """Returns the coverage of the 95 % intervals."""
    found = read("error_rates.json")["coverage"]
    rows = ((r["of"], str(r["seeds"]), f"{100 * r['coverage']:.1f}") for r in found)
    return table(("95 % interval of", "seeds", "coverage (%)"), rows)


def null_rates() -> str:
    """Returns how often studies drawn from real runs of one config find a difference."""
    if not (RESULTS / "null.json").is_file():
        return "Not run: `python benchmarks/null.py` says how."
    found = read("null.json")
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
        f"examples) on {', '.join(found['hardware'])}, by `python benchmarks/null.py`.\nNominal "
        "level: 5 %. Monte Carlo error: at a true rate of 5 %, 95 % of rows would show at most "
        f"{100 * _upper(found['studies']):.1f} %."
    )
