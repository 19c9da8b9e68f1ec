"""Two factors crossed: effects of a known size are found, and none where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cnn.ablation.analysis.comparison import sample_of
from cnn.ablation.analysis.effects import contrasts, effect_of
from cnn.ablation.analysis.study_analysis import analyze, kinds
from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_file import load_study
from cnn.ablation.report import FORMATS
from cnn.ablation.report.terminal import print_report
from cnn.config.errors import UserError
from tests.ablation.simulated import arm, study

FACTORS = (("reduction", ("max", "blur")), ("augmentation", ("none", "flip")))
CELLS = ("max + none", "max + flip", "blur + none", "blur + flip")


def crossed(rng, blur=0.0, flip=0.0, both=0.0, seeds=8, examples=1500, factors=FACTORS, **fields):
    """A study of two factors whose effects, in log-odds, are these."""
    ease = rng.normal(1.0, 1.0, examples)
    gains = 0.0, flip, blur, blur + flip + both
    arms = [
        arm(rng, name, ease, gain, range(seeds)) for name, gain in zip(CELLS, gains, strict=True)
    ]
    return study(arms, baseline=CELLS[0], factors=factors, **fields)


def test_an_interaction_is_a_difference_of_differences_of_every_seed():
    found = crossed(np.random.default_rng(0), blur=0.3, both=0.5)
    samples = {a.name: sample_of(a.finished, "accuracy", True) for a in found.arms}
    values = {name: one.values for name, one in samples.items()}
    made = contrasts(FACTORS, ("",))
    assert [c.name for c in made] == ["blur", "flip", "blur x flip"]
    by_hand = (values[CELLS[3]] - values[CELLS[1]]) - (values[CELLS[2]] - values[CELLS[0]])
    size = effect_of(made[2], samples, paired=True, by_example=False, units=None)
    assert size.estimate == pytest.approx(by_hand.mean())
    reference = stats.ttest_1samp(by_hand, 0)
    assert size.p_value() == pytest.approx(reference.pvalue)
    assert size.interval() == pytest.approx(tuple(reference.confidence_interval()))
    main = (values[CELLS[3]] + values[CELLS[2]] - values[CELLS[1]] - values[CELLS[0]]) / 2
    size = effect_of(made[0], samples, paired=True, by_example=False, units=None)
    assert size.estimate == pytest.approx(main.mean())
    assert size.interval() == pytest.approx(tuple(stats.ttest_1samp(main, 0).confidence_interval()))


def test_known_effects_are_called_by_their_names():
    found = analyze(crossed(np.random.default_rng(1), blur=0.0, flip=0.9, both=0.9))
    verdicts = {e.contrast.name: e.verdict.kind for e in found.effects}
    assert verdicts == {"blur": "better", "flip": "better", "blur x flip": "better"}
    additive = analyze(crossed(np.random.default_rng(2), blur=-0.8, examples=6000, margin=0.04))
    verdicts = {e.contrast.name: e.verdict.kind for e in additive.effects}
    assert verdicts == {"blur": "worse", "flip": "equivalent", "blur x flip": "equivalent"}


@pytest.mark.exhaustive
def test_without_effects_at_most_5_percent_of_studies_say_that_there_is_one():
    rng, studies, false = np.random.default_rng(3), 300, 0
    for _ in range(studies):
        found = kinds(crossed(rng, seeds=4, examples=200, margin=1e-6)).values()
        false += bool({"better", "worse"} & set(found))
    assert false <= stats.binom.ppf(0.999, studies, 0.05)


def test_effects_wait_for_all_arms():
    partial = crossed(np.random.default_rng(4))
    lost = replace(partial.arms[3].seeds[0], status="diverged", metrics={}, correct=None)
    broken = replace(partial.arms[3], seeds=(lost, *partial.arms[3].seeds[1:]))
    found = analyze(replace(partial, arms=(*partial.arms[:3], broken)))
    assert {e.verdict.kind for e in found.effects} == {"unranked"}


def test_every_format_tells_the_effects(tmp_path):
    from rich.console import Console

    found = analyze(crossed(np.random.default_rng(5), flip=0.9, both=0.9))
    for name, render in FORMATS.items():
        if name != "report.svg":
            text = render(found).replace("$", "")
            assert "reduction x augmentation: blur x flip" in text, name
    console = Console(record=True, width=400)
    print_report(found, [], console)
    sentence = console.export_text()
    assert "the effect of blur over max is better with flip than with none" in sentence
    assert "main effect, averaged over reduction: flip is better than none" in sentence


def write(tmp_path, body):
    file = tmp_path / "study.py"
    file.write_text(
        "from cnn.ablation.planning.study_plan import StudyPlan\n"
        "def get_study():\n"
        f"  return StudyPlan(name='n', config='configs/fashion_mnist_10k.py', seeds=(0, 1, 2),"
        f" margin=1.0, {body})\n"
    )
    return str(file)


LEVELS = "'a': {'max': (), 'avg': ('model.downsample=avg',)}"


def test_every_level_meets_every_other(tmp_path):
    body = "factors={" + LEVELS + ", 'b': {'flip': (), 'none': ('augment.flip=False',)}}"
    plan = load_study(write(tmp_path, body))
    assert plan.baseline == "max + flip"
    assert list(plan.arms) == ["max + flip", "max + none", "avg + flip", "avg + none"]
    assert plan.arms["avg + none"] == ("model.downsample=avg", "augment.flip=False")
    assert len(arms_of(plan, tmp_path)) == 5


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("factors={" + LEVELS + "}", "give two, each with 2 levels"),
        ("arms={'x': ()}, factors={" + LEVELS + "}", "make the arms and the baseline"),
        (
            "factors={" + LEVELS + ", 'b': {'x': (), 'y': ('seeds.order=3',)}}, looks=(3,),"
            " race=True",
            "give looks",
        ),
    ],
)
def test_factors_that_cannot_be_crossed_are_refused(tmp_path, body, words):
    with pytest.raises(UserError, match=words):
        load_study(write(tmp_path, body))
