"""Planning for TPU slices that are not there: counts, bounds, the search, and the command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cnn.config.errors import UserError
from cnn.config.load import load
from cnn.cost.program import (
    Collective,
    DoesNotFitError,
    Program,
    count_collectives,
    largest,
    roofline,
)
from cnn.cost.slices import CHIPS, open_slice
from cnn.cost.stand_in import open_or_stand_in
from tests.conftest import REPOSITORY

LIBTPU = Path(sys.prefix) / "libtpu" / "libtpu"
needs_libtpu = pytest.mark.skipif(
    not LIBTPU.is_dir(), reason="no libtpu, which `make libtpu` installs on Linux"
)
# A bottleneck block of each of two stages, behind the stem of 32 pixels.
SMALL = (
    "--config=configs/imagenet_resnet50.py",
    "--config.model.depths=1,1",
    "--config.model.features=16,32",
    "--config.model.ghost_batch=32",
    "--config.data.image_size=32",
)
# Of that, by libtpu 0.0.42.1: `test_the_step_moves_few_bytes_and_communicates_twice` ran.
BYTES_PER_IMAGE = 69_254_144 / 32


def plan(*arguments):
    command = [sys.executable, "-m", "cnn.cost.plan", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=600)


def program(examples, memory=0, **figures):
    given = {"operations": 0.0, "bytes": 0.0, "collectives": {}, "seconds": 0.0, "devices": 1}
    return Program(examples=examples, memory=memory, **given | figures)


def test_collectives_are_counted_with_the_bytes_of_their_results():
    text = """
  %all-reduce.1 = f32[2048,1000]{1,0:T(8,128)} all-reduce(f32[2048,1000]{1,0} %x), to_apply=%add
  %start = (bf16[8]{0}, f32[4,4]{1,0}) all-reduce-start(bf16[8]{0} %a, f32[4,4]{1,0} %b)
  %done = (bf16[8]{0}, f32[4,4]{1,0}) all-reduce-done((bf16[8]{0}, f32[4,4]{1,0}) %start)
  ROOT %gather = pred[16]{0} all-gather(pred[4]{0} %p), dimensions={0}
  %not = f32[2]{0} fusion(f32[2]{0} %all-reduce.1), calls=%fused_all-reduce(
"""
    assert count_collectives(text) == {
        "all-gather": Collective(1, 16),
        "all-reduce": Collective(2, 4 * 2048 * 1000 + 2 * 8 + 4 * 16),
    }


def test_a_roofline_is_the_longest_of_three_times():
    chip = CHIPS["v5e"]
    taken = program(1, bytes=chip.bandwidth, devices=4)
    taken.collectives["all-reduce"] = Collective(2, int(chip.interconnect))
    least = roofline(taken, chip, chip.operations / 2)
    assert least == pytest.approx({"compute": 0.5, "memory": 1.0, "network": 1.5})


@pytest.mark.parametrize("most", [1, 2, 3, 13, 100])
def test_the_search_finds_the_most_that_fit(most):
    tried = []

    def compiled(examples):
        tried.append(examples)
        if examples > 8 * most:
            raise DoesNotFitError
        # Not quite in proportion.
        return program(examples, memory=1000 + 70 * examples + examples % 24)

    assert largest(compiled, 1000 + 70 * 8 * most, 8).examples == 8 * most
    assert len(tried) == len(set(tried)) <= 7


def test_the_search_says_that_nothing_fits():
    def compiled(examples):
        raise DoesNotFitError("it takes 2G of 1G")

    with pytest.raises(DoesNotFitError, match="2G of 1G"):
        largest(compiled, 100, 8)


def test_an_unknown_chip_is_refused():
    with pytest.raises(UserError, match=r"--topology: unknown chip 'v5x': did you mean 'v5"):
        open_slice("v5x:2x2")


def test_images_that_are_not_here_are_stood_in_for():
    config = load("configs/imagenet_resnet50.py", ["data.data_dir=nowhere"]).config
    config, dataset, said = open_or_stand_in(config)
    assert dataset.input_shape == (224, 224, 3)
    assert dataset.num_classes == 1000
    assert len(dataset.train) == 1_281_167
    assert "no prepared data set 'imagenet2012'" in said
    here, dataset, said = open_or_stand_in(load("configs/fashion_mnist_10k.py").config)
    assert (len(dataset.train), here.data.source) == (10_000, "tfds")
    assert said == "images of 28x28x1, 10 classes"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--per-chip=-1",), "--per-chip: give a positive number"),
        (("--per-chip=8", "--fit"), "--per-chip: give a positive number"),
        (("--out=nowhere/x.json",), "--out: there is no folder for 'nowhere/x.json'"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments, said):
    done = plan(*SMALL, "--topology=v5e:2x2", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1


@needs_libtpu
def test_a_slice_that_cannot_be_is_refused():
    done = plan(*SMALL, "--topology=v5e:3x5")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --topology: there is no slice 'v5e:3x5'")
    assert done.stderr.count("\n") == 1


@needs_libtpu
def test_the_step_moves_few_bytes_and_communicates_twice(tmp_path):
    """Free of noise, so a change that moves more shows here."""
    out = tmp_path / "plan.json"
    done = plan(*SMALL, "--topology=v5e:2x2", "--per-chip=32", f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (found,) = json.loads(out.read_text())["slices"]
    assert found["devices"] == 4
    assert found["examples"] == 32
    assert sum(each["count"] for each in found["collectives"].values()) <= 3
    assert found["bytes"] / 32 < 1.02 * BYTES_PER_IMAGE
    assert "v5e:2x2" in done.stdout
