"""What else an arm changes, and that its verdict says so."""

from dataclasses import replace

import numpy as np
import pytest

from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.analysis.study_results import Arm
from cnn.ablation.planning.factors import Factors, factors_of
from cnn.ablation.report import render_html, render_markdown
from cnn.config.load import load
from cnn.layers import ACTIVATIONS
from tests.ablation.simulated import arm, study

PLAIN = ("model.name=plain", "model.features=8,16")


def factors(*overrides: str) -> Factors:
    return factors_of(load("configs/base.py", (*PLAIN, *overrides)).config, (16, 16, 3), 5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_counts_once_wherever_it_is_applied(activation, baseline):
    found = factors("model.downsample=max", f"model.activation={activation}")
    assert found.activations == baseline.activations
    assert found.maxima == baseline.maxima


@pytest.fixture(scope="module")
def baseline() -> Factors:
    return factors("model.downsample=max")


@pytest.mark.parametrize(
    ("overrides", "marks"),
    [
        (("model.downsample=max",), ()),
        (("seed=3", "log.every=3 steps"), ()),
        (("model.downsample=avg",), ("maximum",)),
        (("model.downsample=aps",), ("maximum", "sampling")),
        (
            ("model.downsample=lps",),
            ("parameters", "MACs", "non-linearities", "maximum", "sampling"),
        ),
        (("model.downsample=max_blur(taps=4)",), ("MACs", "receptive field")),
        (("model.downsample=strided_conv",), ("MACs", "receptive field", "maximum")),
        (
            ("model.downsample=conv_pool",),
            ("parameters", "MACs", "receptive field", "normalization", "non-linearities"),
        ),
        (("model.downsample=none",), ("MACs", "maximum", "sampling")),
        (("model.features=16,16",), ("parameters", "MACs")),
        (("model.activation=gelu",), ()),
        (("model.norm=none",), ("normalization",)),
        (("optimizer.learning_rate=0.3",), ("recipe",)),
        (("schedule.warmup=3%", "optimizer.nesterov=False"), ("recipe",)),
        (("model.downsample=lp", "model.head=max"), ("sites",)),
    ],
)
def test_what_differs_is_named(baseline, overrides, marks):
    found = factors(*overrides).differing(baseline)
    assert [name for name in found if name in marks] == list(marks)
    if overrides[0].startswith("model.downsample") and len(overrides) == 1:
        assert found == marks


@pytest.mark.parametrize(
    ("operator", "confounded"),
    [
        ("aps", True),
        ("max_aps", False),
        ("avg", False),
        ("strided_conv", True),
        ("conv_pool", True),
    ],
)
def test_an_operator_that_samples_otherwise_and_drops_the_maximum_is_confounded(
    baseline, operator, confounded
):
    differs = factors(f"model.downsample={operator}").differing(baseline)
    assert Arm("arm", differs=differs).confounded == confounded
    # Chaman and Dokmanic keep the maximum, at strides 1, and change the sampling alone.
    if operator == "max_aps":
        assert differs == ("sampling",)


def test_a_shortcut_that_keeps_what_its_block_picks_is_no_further_site():
    def residual(*overrides):
        texts = ("model.name=resnet20", "model.features=4,8,8", "model.depths=1,1,1", *overrides)
        return factors_of(load("configs/base.py", texts).config, (16, 16, 3), 5)

    both = "model.downsample=max_aps", "model.shortcut_downsample=aps"
    other = "model.downsample=max_aps", "model.shortcut_downsample=avg"
    assert residual(*both).differing(residual("model.downsample=max")) == ("sampling",)
    assert "sites" in residual(*other).differing(residual("model.downsample=max"))


def test_a_verdict_says_what_it_is_confounded_with():
    rng = np.random.default_rng(0)
    ease = rng.normal(2.5, 1.5, 1500)
    arms = [
        arm(rng, name, ease, gain, range(5), params=1000, macs=100)
        for name, gain in (("max", 0.0), ("conv", 0.8), ("avg", -0.8), ("blur", -0.9))
    ]
    arms[1] = replace(arms[1], params=3000, macs=380, differs=("parameters", "MACs"))
    arms[2] = replace(arms[2], differs=("maximum",))
    arms[3] = replace(arms[3], differs=("receptive field",))
    found = analyze(study(arms))
    report = render_markdown(found)
    assert "pp, at 3.8x the MACs and 3.0x the parameters: confounded) is better than max" in report
    assert "confounded" in render_html(found)
    [line] = [line for line in report.splitlines() if line.startswith("| avg ")]
    assert "confounded" not in line
    assert line.endswith("| maximum |")
    assert "pp, differing in receptive field)" in report
