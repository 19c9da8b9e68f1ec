"""Two crossed factors: the main effect of each level, and their interactions.

Row k of every arm is one seed. An effect is a difference between two sums of arms, which are
samples like any other. With factors A and B and reference levels 0, the main effect of level a is
the mean over B of (arms of a - arms of 0), and the interaction of a and b is
(ab - 0b) - (a0 - 00) = (ab + 00) - (a0 + 0b), for every seed and every test example.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from cnn.ablation.analysis.comparison import Pair, Sample, same_seeds, variances_of
from cnn.ablation.planning.study_plan import cell_name
from cnn.ablation.statistics.difference import Difference
from cnn.ablation.statistics.verdict import Verdict

Levels = tuple[tuple[str, str, str], ...]  # factor, level, reference level


@dataclass(frozen=True)
class Contrast:
    """The contrast between arms that defines one effect.

    Attributes:
      network: the network that it is about.
      levels: one of (factor, level, reference): a main effect; two: an interaction.
      plus, minus: names of the arms with positive and with negative sign.
    """

    network: str
    levels: Levels
    plus: tuple[str, ...]
    minus: tuple[str, ...]

    @property
    def name(self) -> str:
        """The levels, such as "max blur x flip" of an interaction."""
        return " x ".join(level for _, level, _ in self.levels)

    @property
    def scale(self) -> int:
        """What the difference of the sums is divided by."""
        return len(self.plus) if len(self.levels) == 1 else 1


@dataclass(frozen=True)
class Effect:
    """An effect and its verdict.

    Attributes:
      contrast: its definition.
      verdict: on it, within the family of the study.
    """

    contrast: Contrast
    verdict: Verdict


def contrasts(
    factors: Sequence[tuple[str, Sequence[str]]], networks: Sequence[str]
) -> list[Contrast]:
    """Returns the main effects of both factors and their interactions, in every network."""
    (a, (a0, *other_a)), (b, (b0, *other_b)) = factors
    found = []
    for network in networks:
        for level in other_a:
            plus, minus = ([cell_name(at, of) for of in (b0, *other_b)] for at in (level, a0))
            found.append(Contrast(network, ((a, level, a0),), tuple(plus), tuple(minus)))
        for level in other_b:
            plus, minus = ([cell_name(of, at) for of in (a0, *other_a)] for at in (level, b0))
            found.append(Contrast(network, ((b, level, b0),), tuple(plus), tuple(minus)))
        for one, two in product(other_a, other_b):
            plus = cell_name(one, two), cell_name(a0, b0)
            minus = cell_name(one, b0), cell_name(a0, two)
            found.append(Contrast(network, ((a, one, a0), (b, two, b0)), plus, minus))
    return found


def effect_of(
    contrast: Contrast,
    samples: Mapping[str, Sample],
    paired: bool,
    by_example: bool,
    units: np.ndarray | None,
) -> Difference | None:
    """Returns the estimate of an effect; None if one of its arms is missing.

    Args:
      contrast: its definition.
      samples: name of an arm -> its runs, as many for each arm.
      paired: whether seed k is one block in all arms.
      by_example: whether inference is for new test examples as well.
      units: of the examples; see `over_examples`.
    """
    names = *contrast.plus, *contrast.minus
    if any(name not in samples for name in names):
        return None
    plus, minus = (_sum([samples[n] for n in side]) for side in (contrast.plus, contrast.minus))
    variances = variances_of({"plus": plus, "minus": minus})
    by_seed = paired and all(same_seeds(samples[name], plus) for name in names)
    pair = Pair(plus, minus, (variances["plus"], variances["minus"]), by_seed)
    found, scale = pair.difference(by_example, units), contrast.scale
    return replace(
        found,
        estimate=found.estimate / scale,
        seed_variances=tuple(variance / scale**2 for variance in found.seed_variances),
        example_variance=found.example_variance / scale**2,
    )


def _sum(samples: Sequence[Sample]) -> Sample:
    known = all(one.outcomes is not None for one in samples)
    outcomes = sum(one.outcomes.astype(np.int8) for one in samples) if known else None
    return Sample(samples[0].runs, sum(one.values for one in samples), outcomes)
