"""The interface of evaluation suites."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from markupsafe import Markup

from cnn.config.call import options_of
from cnn.config.fields import Field, Interval
from cnn.config.metric import Metric
from cnn.data import SIGNALS

Results = dict[str, Any]
# A number of examples; what 0 means (all or none) is said where it is used.
ExampleCount = Annotated[int, Interval("[0, 2147483647]")]


@dataclass(frozen=True)
class MeasuredRun:
    """Results of a suite on one run, as passed to its page section.

    Attributes:
      name: short, unique name of the run.
      results: the return value of `measure`, read back from JSON.
      folder: contains the pictures.
      signal: what the run was trained on, an entry of `SIGNALS`.
    """

    name: str
    results: Results
    folder: Path
    signal: str = "image"


def called(runs: Sequence[MeasuredRun], plural: bool = True) -> str:
    """Returns what to call the examples of runs: "images", "clip" or "images or sounds"."""
    names = dict.fromkeys(SIGNALS[run.signal].stored.name for run in runs)
    return " or ".join(f"{name}s" if plural else name for name in names)


@dataclass(frozen=True)
class Progress:
    """Progress of a measurement.

    Attributes:
      folder: for pictures.
      show: called with (done, total), in any unit.
      keep: called with the results so far, so that an interruption loses little.
    """

    folder: Path
    show: Callable[[int, int], None] = lambda done, total: None
    keep: Callable[[Results], None] = lambda results: None

    def picture(self, name: str) -> Path:
        """Returns the path of a picture, after creating its folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name


@dataclass(frozen=True)
class Suite:
    """A group of measurements and its section of the page.

    Attributes:
      about: a one-line description.
      measure: (run, split, progress, *, option=default, ...) -> results, as plain JSON values. Its
        keyword-only arguments are the options of `--suite=name(option=value)`.
      section: results of one or more runs -> a `page.section` with the runs side by side.
      signals: values of `data.signal` that it supports; empty: all.
      metrics: scalar results by which runs, and the arms of a study, can be compared.
      needs: a required option; "all" leaves out suites that have one.
    """

    about: str
    measure: Callable[..., Results]
    section: Callable[[Sequence[MeasuredRun]], Markup]
    signals: frozenset[str] = frozenset()
    metrics: tuple[Metric, ...] = ()
    needs: str = ""

    def supported(self) -> list[str]:
        """Returns the values of `data.signal` that it supports, in alphabetical order."""
        return sorted(self.signals or SIGNALS)

    def options(self) -> dict[str, Field]:
        """Returns the options."""
        return options_of(self.measure)

    def defaults(self) -> dict[str, Any]:
        """Returns the options' defaults."""
        return {name: option.default for name, option in self.options().items()}


@dataclass(frozen=True)
class Asked:
    """A requested suite with its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
