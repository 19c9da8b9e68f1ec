"""Published claims and their registry; a plugin adds its own with `register`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cnn.config.metric import METRICS, Metric
from cnn.config.registry import Registry

Expected = Literal["better", "not worse", "alike", "always", "as variable"]
# One seed for all random streams, so that runs differ in one bit only.
ONE_SEED = tuple(f"seeds.{name}=0" for name in ("init", "order", "augment", "dropout"))


@dataclass(frozen=True)
class Statement:
    """One comparison within a claim.

    Attributes:
      arm, baseline: "field=value" overrides of each; an operator matches by name, whatever its
        options, where no arm has exactly this text.
      expected: "better"; "not worse" by the margin; "alike": within the margin;
        "always": every run of the arm reaches 100 %; "as variable": its standard deviation over
        seeds is as large as the baseline's.
      metric: an entry of `METRICS`.
      margin: in percentage points for shares, else in units of the metric: smaller differences do
        not matter. Not used by "always" and "as variable".
      relative: whether `margin` is a fraction of the baseline's mean instead.
      published: difference, in the same unit; None: direction only.
    """

    arm: tuple[str, ...]
    baseline: tuple[str, ...]
    expected: Expected
    metric: str = "accuracy"
    margin: float = 0.5
    relative: bool = False
    published: float | None = None

    @property
    def described(self) -> Metric:
        """What the metric is."""
        return METRICS[self.metric]


@dataclass(frozen=True)
class Claim:
    """A published claim.

    Attributes:
      source: authors, year, where.
      says: the claim in one sentence.
      scale: network, data and training of the publication.
      statements: all of which have to hold.
      arms: name -> overrides, baseline first, of a study that tests it.
      suites: measured by that study.
      seeds: per arm of that study.
    """

    source: str
    says: str
    scale: str
    statements: tuple[Statement, ...]
    arms: dict[str, tuple[str, ...]]
    suites: tuple[str, ...] = ()
    seeds: int = 10


CLAIMS: Registry[Claim] = Registry("claim")


def register(name: str, claim: Claim) -> None:
    """Adds a claim."""
    CLAIMS.add(name, claim)


def operator(text: str) -> tuple[str, ...]:
    """Returns the overrides of a downsampling operator on the main path."""
    return (f"model.downsample={text}",)


def operators(**arms: str) -> dict[str, Sequence[str]]:
    """Returns arms that each use one operator."""
    return {name.replace("_", " "): operator(text) for name, text in arms.items()}
