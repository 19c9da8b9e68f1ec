"""The benchmarks of whole runs, at their smallest: what they write, and what they refuse."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import compiling, growth, input, loop, pipelines, startup, streams
from cnn.ablation.analysis.study_analysis import analyze
from cnn.ablation.report import FORMATS, write_report
from cnn.config.errors import UserError
from cnn.data import open_dataset
from tests.conftest import REPOSITORY


def test_the_loop_and_its_bare_step_make_the_same_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    tiny = replace(loop.CASES["tiny network"], steps=12)
    with loop.on_a_terminal():
        both = loop.Both(loop.config_of(tiny), str(tmp_path / "run"), tiny.steps)
        state, bare = both.loop(), both.bare()
        # A part is three steps, and two were made before, so that the next part begins with a save.
        assert (int(state.step), int(bare.step)) == (2 + 3, 3)
        for _ in range(3):
            state = both.loop()
        assert int(state.step) == 14
        both.close()
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir() if p.is_dir()] == ["12"]
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count('"loss"') == 3
    assert "FORCE_COLOR" not in os.environ


def test_loaders_read_the_same_boxes_in_the_same_shape(tmp_path):
    input.write_images(tmp_path, 2)
    paths = sorted((tmp_path / "jpeg" / "train").rglob("*.jpeg"))
    images, _ = input.ours(tmp_path, "jpeg")()
    area = input.opencv(paths, "jpeg", input.cv2.INTER_AREA)()
    linear = input.opencv(paths, "jpeg", input.cv2.INTER_LINEAR)()
    for other in (area, linear, input.pillow(paths, "jpeg")(), input.tfds(paths, "jpeg")()):
        assert other.shape == images.shape == (2, 224, 224, 3)
        assert np.abs(other.astype(int) - images).mean() < 20
    assert pipelines.ours(tmp_path, 2, batch=2)() == 2
    assert input.memory(tmp_path, batch=2, images=10).keys() == {
        "after_a_fifth",
        "at_the_end",
        "images",
    }


def test_streamed_videos_are_read_as_clips_and_their_memory_is_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    streams.write_videos(tmp_path, 4)
    config = streams.video(str(tmp_path))
    with config.unlocked():
        config.train.batch_size = 2
    assert open_dataset(config.data).train.shape == (8, 16, 16, 1)
    found = streams.memory(config, 6)
    assert found["examples"] == 6
    assert found["at_the_end"] >= 0.5 * found["after_a_fifth"] > 0
    digits = streams.sound("nowhere").data
    assert (digits.path, digits.signal) == ("nowhere", "sound")


def test_growth_is_an_exponent(tmp_path, monkeypatch):
    sizes = {2: lambda: None, 200: lambda: None}
    monkeypatch.setitem(growth.COSTS, "arms of nothing", lambda folder: sizes)
    monkeypatch.setattr(growth, "seconds_in_turns", lambda calls, repeats: {"2": 0.5, "200": 5.0})
    row = growth.measure(growth.COSTS["arms of nothing"], tmp_path, 1)
    assert row["sizes"] == [2, 200]
    assert row["times_the_first"] == [1, 10]
    assert row["exponent"] == 0.5


def test_a_simulated_study_can_be_reported_and_planned(tmp_path):
    assert all(growth.arms_planned(tmp_path)[10]())
    assert [p.name for p in write_report(analyze(growth.simulated(2)), tmp_path)] == list(FORMATS)


def test_networks_of_equal_blocks_are_compiled_in_both_forms():
    assert compiling.forms("resnet20", unrolled=True) == ["unrolled", "scan"]
    assert compiling.forms("resnet20", unrolled=False) == ["scan"]
    assert compiling.forms("lenet5", unrolled=True) == ["unrolled"]
    assert compiling.chosen("lenet5,all_cnn_c_base", everything=False) == [
        "lenet5",
        "all_cnn_c_base",
    ]
    assert set(compiling.DEEPEST) == set(compiling.chosen("", everything=False))
    assert compiling.measure("lenet5", 2, scan=False)["compile_cpu_seconds"] > 0


def test_a_start_that_says_something_else_is_an_error(tmp_path):
    assert startup.until(["train.py", "--help"], "--workdir", tmp_path) > 0
    with pytest.raises(UserError, match="never printed 'step 1/'"):
        startup.until(["train.py", "--config=none", "--workdir=x"], "step 1/", tmp_path)


@pytest.mark.parametrize(
    ("benchmark", "flag", "words"),
    [
        (loop, "--only=tinny", "tiny network"),
        (growth, "--only=armies", "report, by arms"),
        (compiling, "--only=resnet21", "no network is named like"),
        (startup, "--repeats=0", "leaves nothing"),
    ],
)
def test_mistakes_are_refused(benchmark, flag, words):
    with pytest.raises(UserError, match=words):
        benchmark.main([flag])


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--config=x.py"], ["--workdir=x", "--config=configs/base.py", "--config.sed=1"]],
)
def test_help_and_mistakes_do_not_wait_for_jax(arguments):
    program = (
        "import runpy, sys, atexit\n"
        "atexit.register(lambda: print('jax' in sys.modules, 'numpy' in sys.modules))\n"
        f"sys.argv = ['train.py', *{arguments!r}]\n"
        "runpy.run_path('train.py', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if arguments == ["--help"] else 2), done.stderr
    assert done.stdout.splitlines()[-1].split()[0] == "False"
