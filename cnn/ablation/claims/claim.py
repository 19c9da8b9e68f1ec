"""What a published claim is, and the registry of them. A plugin adds its own with `register`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cnn.config.metric import METRICS, Metric
from cnn.config.registry import Registry

Expected = Literal["better", "not worse", "alike", "always", "as variable"]
# Fields that hold one seed for all runs, so that nothing but one bit differs.
ONE_SEED = tuple(f"seeds.{name}=0" for name in ("init", "order", "augment", "dropout"))


@dataclass(frozen=True)
class Statement:
    """One comparison that a claim makes.

    Attributes:
      arm, baseline: "field=value" overrides that make each of them; an operator is found by its
        name, whatever its options, where no arm has the very text.
      expected: "better"; "not worse" by the margin; "alike" within the margin; "always": every run
        of the arm has all of the metric, such as 100 %; "as variable": its seeds vary as much.
      metric: an entry of `METRICS`.
      margin: in percentage points for shares, else in units of the metric: smaller differences do
        not matter. Not read by "always" and "as variable".
      published: the difference that was published, in the same unit; None: not stated.
    """

    arm: tuple[str, ...]
    baseline: tuple[str, ...]
    expected: Expected
    metric: str = "accuracy"
    margin: float = 0.5
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
      says: the claim, in a sentence.
      scale: what it was published on.
      statements: what has to hold, all of it.
      arms: name -> overrides, the baseline first, of a study that tries it.
      suites: that the study measures.
      seeds: of each of its arms.
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
    """Returns arms that are an operator each."""
    return {name.replace("_", " "): operator(text) for name, text in arms.items()}
