"""The suites as a Markdown page, from their entries: docs/suites.md."""

import inspect

from cnn.config.call import signature
from cnn.config.metric import Metric
from cnn.evaluation.suite import Suite
from cnn.evaluation.suites import SUITES

HEAD = """# Suites

What `eval.py` measures on any checkpoint of any run, and a study with `suites` on every run. This
page is what `python -m cnn.evaluation --markdown` prints. Options are given after the name, such
as `--suite='shift(images=500)'`; `all` stands for every suite that needs no option. Results of
another checkpoint, split, choice of options or other data are kept beside each other in
`evaluation/` of the run folder. `--config.data.path=DIR` and the like measure on other data, such
as another test set of the same classes, which are matched by name.

A study's `metric` is one of those listed, written as in the first column."""
DIRECTIONS = {True: "higher", False: "lower", None: "neither"}


def markdown() -> str:
    """Returns the page."""
    return "\n\n".join([HEAD, *(_suite(name, suite) for name, suite in SUITES.items())]) + "\n"


def _suite(name: str, suite: Suite) -> str:
    text, _, _ = inspect.getdoc(suite.measure).partition("\n\nArgs:")
    text, _, _ = text.partition("\n\nReturns:")
    text, _, _ = text.partition("\n\nRaises:")
    parts = [f"## {name}", f"`{signature(name, suite.defaults())}`: {suite.about}.", text]
    parts.append(f"For {', '.join(sorted(suite.signals))}.")
    if suite.needs:
        parts.append(f"Needs `{suite.needs}`.")
    if suite.metrics:
        rows = [_row(metric) for metric in suite.metrics]
        head = ["| metric | in words | unit | better | |", "| --- | --- | --- | --- | --- |"]
        parts.append("\n".join([*head, *rows]))
    return "\n\n".join(parts)


def _row(metric: Metric) -> str:
    better = DIRECTIONS[metric.higher_is_better]
    cells = (f"`{metric.name}`", metric.label, metric.unit or "-", better, metric.about)
    return f"| {' | '.join(cells)} |"
