"""What a study file describes."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, get_args, get_origin, get_type_hints

from cnn.config.errors import UserError
from cnn.config.load import Loaded, load
from cnn.config.metric import ACCURACY, METRICS, TRAINING, Metric

# The split that the suites of a study measure.
SPLIT = "test"
Population = Literal["seeds and examples", "seeds"]
POPULATIONS: tuple[Population, ...] = get_args(Population)
# What a value of each type is called in a message.
_CALLED = {str: "text", int: "an integer", float: "a number", bool: "true or false"}


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """What a study file describes.

    Attributes:
      name: title of the report.
      config: the base config file, with ":arg" if it takes one.
      arms: name -> "field=value" overrides of the base config, one of them the baseline's.
      factors: instead of arms, two factors: name -> level -> overrides, the reference level first.
        Every level of one meets every level of the other in an arm "LEVEL + LEVEL"; the report adds
        main effects and the interaction. The baseline is the arm of both reference levels.
      shared: overrides of every arm, applied before its own.
      networks: name -> overrides, applied between the two; every arm is trained in each network and
        compared with the baseline of its network. {}: one network, the config's.
      baseline: the arm that the others are compared with.
      seeds: of every arm.
      margin: equivalence margin: differences of the metric smaller than this do not matter. In
        percentage points for shares such as the accuracy, else in units of the metric.
      metric: on the test set, an entry of `METRICS`, that arms are compared by.
      higher_is_better: direction of the metric; None: that of its entry, which it may not
        contradict.
      paired: declares that seed k is one block in all arms (the same random streams, say), so that
        arms are compared seed by seed. That halves the degrees of freedom, and pays off only if
        results correlate between arms across seeds, which is rare.
      population: scope of inference. "seeds and examples": new seeds and new test examples;
        "seeds": new seeds on this fixed test set.
      unit: independent unit of a test example, such as its speaker, video or patient: a regular
        expression with one group, searched in the names of the test files. "": examples are
        independent.
      looks: numbers of seeds at which the study is analyzed and may be stopped (interim analyses),
        the last one the planned total; (): it is analyzed once, when all seeds have finished.
      tune: field -> values; every arm tries all combinations before its final runs, which use the
        best on the validation split.
      tuning_seeds: seeds per combination; they are not used for verdicts.
      tuned: "NETWORK: ARM" or "ARM" -> chosen overrides; set by the program, not by a study file.
      race: an arm that an interim analysis of `looks` decides gets no further seeds.
      match: what of every arm is adjusted to match the baseline: "width" or "epochs" for equal
        MACs, "time" for epochs of equal wall-clock time; see `matching.py`. "": nothing.
      matched: "macs", "parameters" or "time": every arm whose cost differs from the baseline's is
        also trained at the baseline's cost, and the report has a table of each.
      copies: name of such a second arm -> its original; set by the program, not by a study file.
      suites: suites of eval.py to run on the test set for every finished run, such as
        "shift(images=1000)"; `metric` may be one of theirs, such as "circular_grid, consistency".
      plugins: files that are loaded first, beside the study file or with a path from here; see
        `cnn.config.plugin`.
      repeat_baseline: adds an A/A control: an arm that repeats the baseline with other seeds and
        should not differ significantly.
    """

    name: str
    config: str
    arms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    factors: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    baseline: str = ""
    seeds: Sequence[int]
    margin: float
    shared: Sequence[str] = ()
    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    metric: str = "accuracy"
    higher_is_better: bool | None = None
    paired: bool = False
    population: Population = "seeds and examples"
    unit: str = ""
    looks: Sequence[int] = ()
    race: bool = False
    tune: Mapping[str, Sequence[str | float | bool]] = field(default_factory=dict)
    tuning_seeds: int = 1
    tuned: Mapping[str, Sequence[str]] = field(default_factory=dict)
    match: str = ""
    matched: str = ""
    copies: Mapping[str, str] = field(default_factory=dict)
    suites: Sequence[str] = ()
    plugins: Sequence[str] = ()
    repeat_baseline: bool = True

    def load(self, overrides: Sequence[str]) -> Loaded:
        """Returns the config with overrides."""
        return load(self.config, overrides, self.plugins)

    @property
    def aa_arm(self) -> str | None:
        """Name of the arm that repeats the baseline; no other arm has it."""
        name = f"{self.baseline} again"
        while name in self.arms:
            name += " (A/A)"
        return name if self.repeat_baseline else None

    @property
    def described(self) -> Metric:
        """What the metric is."""
        return METRICS[self.metric]

    @property
    def stored_margin(self) -> float:
        """The margin in units of the metric as it is stored."""
        return self.margin / self.described.scale

    @property
    def settings(self) -> list[tuple[str, ...]]:
        """The overrides that every arm tries, one combination each; [] without tuning."""
        each = [[f"{name}={value}" for value in values] for name, values in self.tune.items()]
        return list(product(*each)) if each else []

    @property
    def validated(self) -> str:
        """The validation metric that tuning optimizes: that of the study, or accuracy."""
        return self.metric if self.described in TRAINING else ACCURACY.name

    @property
    def analyses(self) -> tuple[int, ...]:
        """The numbers of seeds at which the study is analyzed."""
        return tuple(self.looks) or (len(self.seeds),)


def cell_name(one: str, other: str) -> str:
    """Returns the name of the arm of two levels."""
    return f"{one} + {other}"


def check_types(plan: StudyPlan, where: str) -> None:
    """Refuses a plan with a value of another type than its field has.

    Args:
      plan: as a study file or study.json gives it.
      where: the file, for messages.

    Raises:
      UserError: names the field, and the key in it.
    """
    for name, kind in get_type_hints(StudyPlan).items():
        _check_type(getattr(plan, name), kind, f"{where}: {name}")


def _check_type(value: Any, kind: Any, where: str) -> None:
    inner = get_args(kind)
    if get_origin(kind) is Mapping:
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: {value!r} is not a dict; give names with their values")
        for key, of_key in value.items():
            _check_type(key, inner[0], where)
            _check_type(of_key, inner[1], f"{where}: {key!r}")
    elif get_origin(kind) is Sequence:
        # To Python a text is a sequence of texts.
        if isinstance(value, str) or not isinstance(value, Sequence):
            one = isinstance(value, str | int | float)
            hint = f"write ({value!r},), with a comma" if one else "give a tuple or a list"
            raise UserError(f"{where}: {value!r} is not a tuple; {hint}")
        for one in value:
            _check_type(one, inner[0], where)
    else:
        kinds = (str,) if get_origin(kind) is Literal else inner or (kind,)
        if not any(_is_of(value, one) for one in kinds):
            called = " or ".join(_CALLED[one] for one in kinds if one in _CALLED)
            raise UserError(f"{where}: {value!r} is not {called}")


def _is_of(value: Any, kind: type) -> bool:
    # A bool is an int to Python, not to people.
    if isinstance(value, bool) and kind is not bool:
        return False
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return False
    return isinstance(value, (int, float) if kind is float else kind)
