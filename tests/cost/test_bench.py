"""`python -m cnn.cost.bench` as a user calls it, and what it concludes from given times."""

import json
import subprocess
import sys

import pytest

from cnn.config.errors import UserError
from cnn.cost import bench, bound
from cnn.data import open_dataset
from tests.conftest import REPOSITORY, TINY, tiny_config


def run(*arguments):
    fields = [f"--config.{text}" for text in TINY]
    return subprocess.run(
        [sys.executable, "-m", "cnn.cost.bench", "--config=configs/base.py", *fields, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_both_placements_are_timed_and_written(tmp_path):
    out = tmp_path / "bench.json"
    done = run("--steps=2", "--repeats=2", f"--out={out}", "--config.augment.flip=True")
    assert done.returncode == 0, done.stderr
    assert "device (the config's)" in done.stdout
    result = json.loads(out.read_text())
    assert (result["chosen"], result["batch_size"]) == ("device", 16)
    assert result["config"]["augment"]["flip"]
    assert {"versions", "device", "cores", "load"} <= result.keys()
    assert set(result["placements"]) == {"device", "stream"}
    for placement, metrics in result["placements"].items():
        speeds = metrics["images_per_second"]
        assert set(speeds) == {"data", "compute", "both", "plain"}
        assert min(speeds.values()) > 0
        name = {"data": "input", "compute": "compute"}[metrics["bound"]]
        assert f"{placement}: {name}-bound: {metrics['bound']} alone takes " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config=configs/bse.py"], "did you mean"),
        (["--config=configs/base.py", "--steps=-1"], "--steps: -1 is too few; use 0"),
        (["--config=configs/base.py", "--out=no/such/folder/x"], "does not exist; create it"),
        (["--config=configs/base.py", "--config.data.placment=device"], "data.placement"),
        ([], "--config"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words):
    with pytest.raises(UserError, match=words):
        bench.main(arguments)


def test_no_repeat_is_refused_before_anything_is_opened():
    with pytest.raises(UserError, match="--repeats: 0"):
        bench.main(["--config=configs/base.py", "--repeats=0"])


def test_the_slower_of_the_two_bounds_and_the_augmentation_is_told_apart():
    seconds = {"data": [2, 2, 9], "compute": [4, 4, 4], "both": [5, 5, 5], "plain": [4.5, 4.5, 1]}
    metrics = bound.summarize_turns(seconds, 8)
    assert metrics["images_per_second"] == {"data": 4, "compute": 2, "both": 1.6, "plain": 8 / 4.5}
    assert (metrics["bound"], metrics["turns"]) == ("compute", 2)
    assert metrics["input_share"] == 0.25
    assert metrics["augmentation_share"] == 0.125
    assert metrics["p_value"] == 1.0  # two of three is what a coin does
    assert (
        "compute alone takes 2 times as long as data alone, longer in 2 of 3 repeats"
        in metrics["verdict"]
    )
    assert "adds 25.0% to the step, of which augmentation 12.5%" in metrics["verdict"]
    free = bound.summarize_turns(seconds | {"both": [4.04] * 3}, 8)["verdict"]
    assert "adds no measurable time" in free


def test_what_does_not_fit_the_device_is_measured_streaming_only():
    config = tiny_config("data.device_limit=0")
    found = bound.measure_bound(config, steps=1, repeats=1, dataset=open_dataset(config.data))
    assert found["chosen"] == "stream"
    assert found["placements"]["device"].keys() == {"verdict"}
    assert "images_per_second" in found["placements"]["stream"]


@pytest.mark.parametrize(("step", "steps"), [(0.0302, 33), (0.8, 1), (4.0, 1)])
def test_a_turn_takes_about_a_second(step, steps, monkeypatch):
    monkeypatch.setattr(bound, "seconds_of", lambda call: step)
    assert bound._steps_of_a_second(lambda steps: steps) == steps
