"""Matches the arms of a study to the baseline's MACs, parameters or wall-clock time."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from ml_collections import ConfigDict

from cnn import models
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.errors import UserError, did_you_mean
from cnn.config.load import Loaded
from cnn.cost.count import network_cost
from cnn.data import Dataset, open_dataset
from cnn.training.plan import make_training_plan

TOLERANCE = 0.02  # relative
FIELDS = ("width", "epochs", "time")
# `matched` -> what is changed for that, an entry of FIELDS.
COSTS = {"macs": "width", "parameters": "width", "time": "time"}
LABELS = {"macs": "MACs", "parameters": "parameters", "time": "time"}
_STEPS = (1, 2, 4, 8)  # channels that one stage is changed by in the last search
_ROUNDS = 12
_TIMED = 15  # steps of each arm in one measurement


def matched(plan: StudyPlan) -> StudyPlan:
    """Returns the plan with each arm's width or duration set as `plan.match` says.

    "width" matches the MACs per example to the baseline's within 2 %, "epochs" the MACs of the
    whole training, and "time" the wall-clock time of all training steps, measured on this machine.

    Raises:
      UserError: no such field, a network has fixed widths, no width comes close enough, step times
        vary too much, or there are several networks.
    """
    if plan.match not in FIELDS:
        raise UserError(f"match: unknown '{plan.match}': {did_you_mean(plan.match, FIELDS)}")
    return _changed(plan, _texts(plan, plan.match, "macs"))


def with_matched(plan: StudyPlan) -> StudyPlan:
    """Returns the plan with a copy of every arm at the baseline's cost, as `plan.matched` says.

    "macs" and "parameters" are matched by width, "time" by the number of steps, as in `matched`.
    An arm that already costs as much gets no copy.

    Raises:
      UserError: see `matched`.
    """
    if plan.matched not in COSTS:
        raise UserError(f"matched: unknown '{plan.matched}': {did_you_mean(plan.matched, COSTS)}")
    texts = _texts(plan, COSTS[plan.matched], plan.matched)
    copies = {
        f"{name}, equal {LABELS[plan.matched]}": name
        for name, text in texts.items()
        if text not in _unchanged(plan, name)
    }
    copied = replace(plan, arms={copy: plan.arms[name] for copy, name in copies.items()})
    changed = _changed(copied, {copy: texts[name] for copy, name in copies.items()})
    return replace(plan, arms={**plan.arms, **changed.arms}, copies=copies)


def _unchanged(plan: StudyPlan, name: str) -> tuple[str, str]:
    """Returns the overrides that would not change an arm."""
    config = plan.load((*plan.shared, *plan.arms[name])).config
    steps = make_training_plan(config, len(open_dataset(config.data).train), 1).total_steps
    widths = models.resolve(config.model).get("features", ())
    return f"model.features={','.join(map(str, widths))}", f"train.duration={steps} steps"


def _texts(plan: StudyPlan, change: str, quantity: str) -> dict[str, str]:
    """Returns the override that matches each arm to the baseline."""
    if plan.networks:
        raise UserError("match: works in a study of one network; leave networks out")
    loaded = {name: plan.load((*plan.shared, *own)) for name, own in plan.arms.items()}
    dataset = open_dataset(loaded[plan.baseline].config.data)
    if change == "time":
        return _match_times(plan, len(dataset.train))
    others = {name: one for name, one in loaded.items() if name != plan.baseline}
    baseline = loaded[plan.baseline]
    if change == "epochs":
        return {name: _match_epochs(name, one, baseline, dataset) for name, one in others.items()}
    return {
        name: _match_width(name, one, baseline, dataset, quantity) for name, one in others.items()
    }


def _changed(plan: StudyPlan, texts: Mapping[str, str]) -> StudyPlan:
    arms = dict(plan.arms)
    for name, text in texts.items():
        field = text.partition("=")[0]
        own = (known for known in arms[name] if known.partition("=")[0] != field)
        arms[name] = (*own, text)
    return replace(plan, arms=arms)


def _match_times(plan: StudyPlan, examples: int) -> dict[str, str]:
    twice = measure_apart(plan)
    baseline = plan.load((*plan.shared, *plan.arms[plan.baseline])).config
    wanted = make_training_plan(baseline, examples, 1).total_steps
    return {
        name: _steps_in_time(
            name, [seconds[plan.baseline] / seconds[name] for seconds in twice], wanted
        )
        for name in plan.arms
        if name != plan.baseline
    }


def measure_apart(plan: StudyPlan) -> list[dict[str, float]]:
    """Returns `step_seconds` from a child process: a process keeps the GPU that jax has used."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(step_seconds, plan).result()


def step_seconds(plan: StudyPlan) -> list[dict[str, float]]:
    """Returns the median seconds of a training step of every arm, measured twice, in turns."""
    # Imported here, as reports import this module and need no accelerator.
    from cnn.ablation.planning.probe import Probe
    from cnn.cost.timing import seconds_in_turns

    loaded = {name: plan.load((*plan.shared, *own)) for name, own in plan.arms.items()}
    dataset = open_dataset(loaded[plan.baseline].config.data)
    steps = {name: Probe(one, dataset).step for name, one in loaded.items()}
    return [seconds_in_turns(steps, _TIMED) for _ in range(2)]


def _steps_in_time(name: str, ratios: list[float], wanted: int) -> str:
    """Returns the duration in which an arm takes as long as `wanted` steps of the baseline.

    Args:
      name: of the arm.
      ratios: of the baseline's step to the arm's, as measured twice.
      wanted: steps of the baseline.
    """
    first, second = ratios
    if abs(first - second) > TOLERANCE * min(ratios):
        raise UserError(
            f"match: arm '{name}': its step takes {1 / first:.2f} and then {1 / second:.2f} times "
            "the baseline's, which is not within 2 %; measure on an idle machine, or match by "
            "epochs"
        )
    ratio = (first + second) / 2
    found = max(1, round(wanted * ratio))
    if abs(found / (wanted * ratio) - 1) > TOLERANCE:
        raise UserError(
            f"match: arm '{name}' cannot be matched within 2 %: {found} steps are the nearest; "
            "train for longer"
        )
    return f"train.duration={found} steps"


def _match_epochs(name: str, arm: Loaded, baseline: Loaded, dataset: Dataset) -> str:
    def an_epoch(config: ConfigDict) -> int:
        return _cost(config.model, dataset) * config.train.batch_size

    def steps(config: ConfigDict) -> int:
        return make_training_plan(config, len(dataset.train), 1).total_steps

    wanted = an_epoch(baseline.config) * steps(baseline.config)
    found = max(1, round(wanted / an_epoch(arm.config)))
    _check(name, found * an_epoch(arm.config), wanted, f"{found} steps")
    return f"train.duration={found} steps"


def _match_width(name: str, arm: Loaded, baseline: Loaded, dataset: Dataset, quantity: str) -> str:
    if "features" not in models.MODELS[arm.config.model.name].reads:
        raise UserError(
            f"match: arm '{name}': {arm.config.model.name} has fixed widths; match by epochs"
        )
    wanted = _cost(baseline.config.model, dataset, quantity)
    known: dict[tuple[int, ...], int] = {}

    def cost(widths: tuple[int, ...]) -> int:
        if widths not in known:
            model = arm.config.model.copy_and_resolve_references()
            with model.unlocked():
                model.features = widths
            known[widths] = _cost(model, dataset, quantity)
        return known[widths]

    def misses(widths: tuple[int, ...]) -> float:
        return abs(cost(widths) / wanted - 1)

    widths = tuple(models.resolve(arm.config.model).features)
    start, scale = widths, 1.0
    while misses(widths) > TOLERANCE and len(known) <= _ROUNDS:
        # Convolutions take the square of the width.
        scale *= (wanted / cost(widths)) ** 0.5
        scaled = tuple(max(1, round(width * scale)) for width in start)
        if scaled in known:
            break
        widths = scaled
    widths = min(known, key=misses)
    for _ in range(_ROUNDS):
        if misses(widths) <= TOLERANCE:
            break
        nearer = min(_near(widths), key=misses)
        if nearer == widths:
            break
        widths = nearer
    listed = ",".join(map(str, widths))
    _check(name, cost(widths), wanted, f"model.features={listed}", quantity)
    return f"model.features={listed}"


def _near(widths: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    yield widths
    for i, width in enumerate(widths):
        for step in _STEPS:
            for changed in (width - step, width + step):
                if changed > 0:
                    yield (*widths[:i], changed, *widths[i + 1 :])


def _cost(model: ConfigDict, dataset: Dataset, quantity: str = "macs") -> int:
    found = network_cost(model, dataset.input_shape, dataset.num_classes).total(quantity)
    if found is None:
        raise UserError(
            f"match: the MACs of {model.name} with model.downsample={model.downsample} are not "
            "known; give the entry of the operator a cost, or leave its arm out"
        )
    return found


def _check(name: str, found: int, wanted: int, nearest: str, quantity: str = "macs") -> None:
    if abs(found - wanted) > TOLERANCE * wanted:
        raise UserError(
            f"match: arm '{name}' cannot be matched within {100 * TOLERANCE:g} %: the nearest, "
            f"{nearest}, takes {found / wanted:.2f} times the baseline's {LABELS[quantity]}; start "
            "it from other widths, or a longer training"
        )
