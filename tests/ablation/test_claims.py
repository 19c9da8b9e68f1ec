"""Each word of an answer, from outcomes whose truth is known; and the claims that come with us."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnn.ablation import start
from cnn.ablation.analysis.study_results import Arm, SeedRun
from cnn.ablation.claims import CLAIMS, Claim, Statement
from cnn.ablation.claims.answer import RULE, answer, find_arm
from cnn.ablation.claims.claim import ONE_SEED, operator
from cnn.ablation.claims.claim_text import STUDY_FILE, stated
from cnn.ablation.execution import tuning
from cnn.ablation.execution.due import due_runs
from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_file import load_study
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.config.errors import UserError
from cnn.config.metric import METRICS
from cnn.evaluation.suites import SUITES, chosen
from tests.ablation.simulated import outcomes, study
from tests.ablation.test_tuning import RATES, Pool, results
from tests.ablation.written import plan_of, write_study

EXAMPLES = 4000
CONSISTENCY = "circular_grid, consistency"


def arm(name, overrides, gain=0.0, seed_sd=0.02, seeds=10, **metrics):
    """An arm whose log-odds exceed those of others by a gain."""
    rng = np.random.default_rng(abs(hash_of(name)))
    ease = np.random.default_rng(0).normal(1.0, 2.0, EXAMPLES)
    drawn = outcomes(rng, seeds, ease, gain, seed_sd)
    runs = tuple(
        SeedRun(
            s,
            f"{name}/{s}",
            {"accuracy": float(c.mean())} | {m: draw(rng) for m, draw in metrics.items()},
            correct=c,
        )
        for s, c in enumerate(drawn)
    )
    return Arm(name, overrides, seeds=runs)


def hash_of(name):
    return int.from_bytes(name.encode()[:4], "big")


def claim_of(*statements):
    return Claim("somebody 2000", "It is so.", "something large", statements, {})


def one(expected, gain, **fields):
    statement = Statement(operator("new"), operator("max"), expected, **fields)
    arms = [arm("max", operator("max")), arm("new", operator("new"), gain)]
    return answer(claim_of(statement), study(arms)).word


@pytest.mark.parametrize(
    ("expected", "gain", "fields", "word"),
    [
        ("better", 0.4, {}, "replicated"),
        ("better", 0.4, {"published": 1.0}, "replicated"),
        ("better", 0.4, {"published": 40.0}, "smaller"),
        ("better", 0.4, {"margin": 20.0}, "smaller"),  # real, and too small to matter
        ("better", -0.4, {}, "refuted"),
        ("better", 0.0, {"margin": 2.0}, "refuted"),  # equivalent
        ("better", 0.0, {"margin": 0.01}, "undecided"),
        ("not worse", 0.4, {}, "replicated"),
        ("not worse", 0.0, {"margin": 2.0}, "replicated"),
        ("not worse", -0.4, {}, "refuted"),
        ("not worse", -0.4, {"margin": 6.0}, "undecided"),  # a loss, of about the margin
        ("not worse", 0.0, {"margin": 0.01}, "undecided"),
        ("alike", 0.0, {"margin": 2.0}, "replicated"),
        ("alike", 0.4, {}, "refuted"),
        ("alike", -0.4, {}, "refuted"),
        ("alike", 0.4, {"margin": 6.0}, "undecided"),
        ("alike", 0.4, {"margin": 0.5, "relative": True}, "replicated"),
        ("alike", 0.4, {"margin": 0.01, "relative": True}, "refuted"),
        ("alike", 0.0, {"margin": 0.01}, "undecided"),
    ],
)
def test_words_of_means(expected, gain, fields, word):
    assert one(expected, gain, **fields) == word


def test_of_a_metric_of_which_less_is_better_the_lower_one_is_better():
    def lossy(name, loss):
        return arm(name, operator(name), loss=lambda rng: loss + rng.normal(0, 0.01))

    arms = study([lossy("max", 0.5), lossy("new", 0.4)])
    statement = Statement(operator("new"), operator("max"), "better", "loss", 0.01, published=0.1)
    assert answer(claim_of(statement), arms).word == "replicated"
    worse = replace(statement, arm=operator("max"), baseline=operator("new"))
    assert answer(claim_of(worse), arms).word == "refuted"
    assert answer(claim_of(replace(statement, published=0.3)), arms).word == "smaller"


@pytest.mark.parametrize(
    ("values", "word"),
    [((1.0, 0.0), "replicated"), ((0.98, 0.01), "smaller"), ((0.5, 0.01), "refuted")],
)
def test_words_of_what_is_always_so(values, word):
    mean, sd = values
    arms = [
        arm("max", operator("max"), **{CONSISTENCY: lambda rng: 0.8 + rng.normal(0, 0.01)}),
        arm("new", operator("new"), **{CONSISTENCY: lambda rng: mean - abs(rng.normal(0, sd))}),
    ]
    statement = Statement(operator("new"), operator("max"), "always", CONSISTENCY)
    assert answer(claim_of(statement), study(arms)).word == word


@pytest.mark.parametrize(
    ("ratio", "seeds", "word"),
    [(1.0, 40, "replicated"), (0.72, 400, "smaller"), (0.2, 40, "refuted"), (0.6, 10, "undecided")],
)
def test_words_of_variability(ratio, seeds, word):
    bit = ("train.flip_bit=True", *ONE_SEED)
    rng = np.random.default_rng(5)

    def varying(name, overrides, sd):
        values = rng.permutation(np.linspace(-1, 1, seeds)) * sd + 0.8
        runs = tuple(SeedRun(s, f"{name}/{s}", {"accuracy": v}) for s, v in enumerate(values))
        return Arm(name, overrides, seeds=runs)

    arms = [varying("max", (), 0.01), varying("bit", bit, 0.01 * ratio)]
    [statement] = CLAIMS["summers2021"].statements
    found = answer(CLAIMS["summers2021"], study(arms))
    assert found.word == word
    assert found.findings[0].estimate == pytest.approx(ratio)
    assert statement.expected == "as variable"


def test_a_claim_is_what_its_weakest_statement_is():
    better = Statement(operator("new"), operator("max"), "better")
    other = Statement(operator("other"), operator("max"), "better")
    arms = [arm("max", operator("max")), arm("new", operator("new"), 0.4)]
    found = answer(claim_of(better, other), study(arms))
    assert [f.word for f in found.findings] == ["replicated", "not tested"]
    assert found.word == "undecided"
    assert found.findings[1].why == "no arm has model.downsample=other"
    assert answer(claim_of(other), study(arms)).word == "not tested"
    arms.append(arm("other", operator("other"), -0.4))
    assert answer(claim_of(better, other), study(arms)).word == "refuted"


def test_what_is_missing_or_was_not_measured_leaves_a_claim_open():
    consistent = Statement(operator("new"), operator("max"), "better", CONSISTENCY)
    arms = [arm("max", operator("max")), arm("new", operator("new"), 0.4)]
    [finding] = answer(claim_of(consistent), study(arms)).findings
    assert (finding.word, finding.why) == ("not tested", f"new has no '{CONSISTENCY}'")
    lost = replace(arms[1].seeds[0], status="diverged", metrics={})
    unstable = replace(arms[1], seeds=(lost, *arms[1].seeds[1:]))
    better = Statement(operator("new"), operator("max"), "better")
    [finding] = answer(claim_of(better), study([arms[0], unstable])).findings
    assert (finding.word, finding.why) == ("undecided", "new is unstable")


def test_arms_are_found_by_what_they_change():
    chaman = CLAIMS["chaman2021"]
    arms = [
        Arm("max", operator("max(window=3)")),
        Arm("bare", operator("aps")),
        Arm("published", (*operator("max_aps"), "model.shortcut_downsample=aps")),
    ]
    found = [find_arm(operator(name), chaman, study(arms)) for name in ("max", "max_aps", "aps")]
    assert [one and one.name for one in found] == ["max", "published", "bare"]
    assert find_arm(operator("max_lps"), chaman, study(arms)) is None
    both = [*arms, Arm("two", operator("max(window=2)"))]
    assert find_arm(operator("max(window=2)"), chaman, study(both)).name == "two"
    again = study([Arm("max again", operator("max")), *arms], aa_arm="max again")
    assert find_arm(operator("max"), chaman, again).name == "max"


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_can_be_tried(name):
    claim, plan = CLAIMS[name], load_study(f"{STUDY_FILE}:{name}")
    measured = {
        m.name for text in plan.suites for s in chosen(text) for m in SUITES[s.name].metrics
    }
    arms = [Arm(n, tuple(overrides)) for n, overrides in plan.arms.items()]
    tried = study(arms, baseline=plan.baseline)
    for statement in claim.statements:
        assert statement.metric in {"accuracy"} | measured
        assert statement.metric in METRICS
        assert find_arm(statement.arm, claim, tried) is not find_arm(
            statement.baseline, claim, tried
        )
        assert stated(statement)
    assert "arXiv" in claim.source
    # With the A/A control.
    assert len(arms_of(plan, Path())) == len(claim.arms) + 1


def test_the_command_lists_describes_and_answers(tmp_path, capsys):
    start.claim(None, None)
    output = capsys.readouterr().out
    assert all(f"{name}: {claim.says}" in output for name, claim in CLAIMS.items())
    assert all(sentence in output for sentence in RULE)
    start.claim("zhang2019", None)
    output = capsys.readouterr().out
    assert f"run --config={STUDY_FILE}:zhang2019 --workdir=" in output
    assert "published +2.09 pp" in output
    plan = plan_of({"max": "max", "blur": "max_blur(taps=4)"}, suites=("shift",))
    folder = write_study(
        tmp_path / "study", plan, {"max": 0.7, "blur": 0.75}, {"max": 0.8, "blur": 0.97}
    )
    start.claim("zhang2019", str(folder))
    output = capsys.readouterr().out
    assert output.startswith("zhang2019: replicated\n")
    assert "here +17." in output
    assert "ResNet-50 on ImageNet" in output
    assert "Tested here on: Written <study>, 4 seeds per arm" in output
    start.claim("chaman2021", str(folder))
    assert "no arm has model.downsample=max_aps" in capsys.readouterr().out
    with pytest.raises(UserError, match="claim: unknown claim 'zhang19': did you mean 'zhang2019'"):
        start.claim("zhang19", None)
    with pytest.raises(UserError, match="name the claim"):
        start.claim(None, str(folder))


def test_a_claim_is_answered_from_a_tuned_study(tmp_path, capsys):
    """Arms are found by what the claim is about, whatever rate each of them was tuned to."""
    plan = plan_of(
        {"max": "max", "blur": "max_blur(taps=4)"}, suites=("shift",), tune=RATES, tuning_seeds=1
    )
    folder = StudyFolder(tmp_path / "study")
    folder.begin(plan, "configs/ablations/quick.py", [])
    Pool(due_runs(folder), results)
    tuning.choose_settings(folder)
    assert "optimizer.learning_rate=0.4" in folder.plan().tuned["blur"]
    write_study(folder.path, plan, {"max": 0.7, "blur": 0.75}, {"max": 0.8, "blur": 0.97})
    start.claim("zhang2019", str(folder.path))
    assert capsys.readouterr().out.startswith("zhang2019: replicated\n")


def test_a_plugin_adds_a_claim(tmp_path, capsys, monkeypatch):
    # Other tests of this process go over all claims.
    monkeypatch.setattr(CLAIMS, "_entries", dict(CLAIMS))
    file = tmp_path / "mine.py"
    file.write_text(
        "from cnn.ablation.claims import Claim, Statement, register\n"
        "old, new = ('model.downsample=max',), ('model.downsample=avg',)\n"
        "register('mine2026', Claim('me, 2026', 'Average is better.', 'nothing',\n"
        "    (Statement(new, old, 'better'),), {'max': old, 'avg': new}))\n"
    )
    start.claim("mine2026", None, plugin=[str(file)])
    assert "avg better than max in accuracy" in capsys.readouterr().out
