"""Planning for TPU slices that are not there: counts, bounds, the search, and the command."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.config.load import load
from cnn.cost.count import network_cost
from cnn.cost.hlo import Collective, collectives, main_memory_bytes
from cnn.cost.plan import MEMORY_COLUMNS, _share, _variants, memory_cells
from cnn.cost.program import DoesNotFitError, Program, largest, roofline
from cnn.cost.stand_in import open_or_stand_in
from cnn.cost.tpu_slices import CHIPS, open_slice
from cnn.training.memory import held_bytes
from cnn.training.mesh import mesh_of, state_sharding
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


def program(examples, memory=0, **fields):
    given = {"state": 0, "bytes": 0, "collectives": {}, "seconds": 0.0, "devices": 1}
    given["counted_bytes"] = 0.0
    return Program(examples=examples, memory=memory, **given | fields)


TEXT = """HloModule jit_step

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body (state: (s32[], f32[4])) -> (s32[], f32[4]) {
  %state = (s32[], f32[4]{0}) parameter(0)
  %held = f32[4]{0} get-tuple-element(%state), index=1
  %gather = f32[16]{0} all-gather(%held), dimensions={0}
  ROOT %next = (s32[], f32[4]{0}) tuple(%held)
}

%condition (state: (s32[], f32[4])) -> pred[] {
  %limit = s32[]{:T(128)} constant(3)
  %state.1 = (s32[], f32[4]{0}) parameter(0)
  %counter = s32[]{:T(128)} get-tuple-element(%state.1), index=0
  ROOT %less = pred[]{:T(512)} compare(%counter, %limit), direction=LT
}

ENTRY %main (x: f32[1000]) -> f32[1000] {
  %x = f32[1000]{0:T(256)} parameter(0)
  %start = (f32[1000]{0:T(256)S(1)}, f32[1000]{0:T(256)}, u32[]{:S(2)}) copy-start(%x)
  %near = f32[1000]{0:T(256)S(1)} copy-done(%start)
  %y = bf16[1000]{0:T(256)} fusion(%near), kind=kLoop, calls=%f
  %part = ((bf16[1000]{0}), bf16[10]{0:S(1)}, s32[]{:S(2)}) slice-start(%y), slice={[0:10]}
  %reduced = (bf16[8]{0}, f32[4,4]{1,0}) all-reduce-start(%y), to_apply=%add
  %done = (bf16[8]{0}, f32[4,4]{1,0}) all-reduce-done(%reduced)
  %one = f32[2048,1000]{1,0:T(8,128)S(1)} all-reduce(%near), to_apply=%add
  %loop = (s32[], f32[4]{0}) while(%t), body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %other = (s32[], f32[4]{0}) while(%t), condition=%condition, body=%body
  ROOT %z = f32[1000]{0:T(256)} add(%x, %near)
}
"""


def test_collectives_are_counted_as_often_as_they_are_run():
    assert collectives(TEXT) == {
        "all-gather": Collective(5 + 3, (5 + 3) * 64),
        "all-reduce": Collective(2, 4 * 2048 * 1000 + 2 * 8 + 4 * 16),
    }


def test_only_main_memory_is_counted():
    copied, fused, part, added = 4000, 2000, 20, 4000 + 4000
    reduced, in_loops = 2000 + 16 + 64, (5 + 3) * (16 + 64)
    total = copied + fused + part + added + reduced + in_loops
    assert main_memory_bytes(TEXT) == total


def test_a_roofline_is_the_longest_of_three_times():
    chip = CHIPS["v5e"]
    taken = program(1, bytes=int(chip.bandwidth), devices=4)
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
    config, dataset, output = open_or_stand_in(config)
    assert dataset.input_shape == (224, 224, 3)
    assert dataset.num_classes == 1000
    assert len(dataset.train) == 1_281_167
    assert "no prepared data set 'imagenet2012'" in output
    here, dataset, output = open_or_stand_in(load("configs/fashion_mnist_10k.py").config)
    assert (len(dataset.train), here.data.source) == (9_500, "tfds")
    assert output == "images of 28x28x1, 10 classes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--per-chip=-1",), "--per-chip: use a positive number"),
        (("--per-chip=8", "--fit"), "--per-chip: use a positive number"),
        (("--out=nowhere/x.json",), "--out: the folder of 'nowhere/x.json' does not exist"),
    ],
)
def test_mistakes_are_refused_in_a_sentence(arguments, message):
    done = plan(*SMALL, "--topology=v5e:2x2", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


def test_a_batch_that_chips_cannot_share_is_refused():
    place = SimpleNamespace(name="v5e:2x4", mesh=SimpleNamespace(size=8))
    assert _share(1024, place) == 128
    with pytest.raises(UserError, match="1020 is not divisible by the 8 chips of v5e:2x4"):
        _share(1020, place)


@needs_libtpu
def test_a_slice_that_cannot_be_is_refused():
    done = plan(*SMALL, "--topology=v5e:3x5")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --topology: there is no slice 'v5e:3x5'")
    assert done.stderr.count("\n") == 1


@needs_libtpu
def test_what_does_not_fit_is_refused():
    done = plan(*SMALL, "--topology=v5e:1x1", "--per-chip=600000", "--config.model.ghost_batch=0")
    assert done.returncode == 0, done.stderr
    assert re.search(r"v5e:1x1 .* too many", done.stdout)
    assert re.search(r"^v5e:1x1 does not fit: \d+\.\d+G of 15\.75G$", done.stdout, re.MULTILINE)


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
    assert found["counted_bytes"] / 32 < 1.02 * BYTES_PER_IMAGE
    assert found["bytes"] < found["counted_bytes"]
    assert "v5e:2x2" in done.stdout


@pytest.mark.exhaustive
@needs_libtpu
def test_micro_batches_sum_their_gradients_once(tmp_path):
    out = tmp_path / "plan.json"
    cut = ("--per-chip=128", "--config.train.accumulation=4")
    done = plan(*SMALL, "--topology=v5e:2x2", *cut, f"--out={out}")
    assert done.returncode == 0, done.stderr
    planned = json.loads(out.read_text())
    (found,) = planned["slices"]
    parameters = network_cost(ConfigDict(planned["config"]["model"]), (32, 32, 3), 1000).parameters
    (reduced,) = found["collectives"].values()
    # And once a micro-batch the running statistics, which are few.
    assert reduced["count"] <= 1 + 4
    assert 4 * parameters < reduced["bytes"] < 1.2 * 4 * parameters
    assert found["counted_bytes"] is None


def test_memory_is_compared_with_and_without_sharding_and_recomputing(monkeypatch):
    def opened(name, fsdp):
        return SimpleNamespace(name=name, mesh=mesh_of(jax.devices()[:4], fsdp))

    monkeypatch.setattr("cnn.cost.tpu_slices.open_slice", opened)
    config = load("configs/fashion_mnist_10k.py").config
    found = [
        (place.mesh.shape.get("fsdp", 1), fields["fsdp"], fields["remat"])
        for place, fields in _variants(config, ["v5e:2x2"], memory=True)
    ]
    assert found == [(1, 1, False), (1, 1, True), (4, 4, False), (4, 4, True)]
    row = {"slice": "v5e:2x2", "fits": True, "fsdp": 4, "remat": True, "examples": 10}
    sizes = {"memory": 3 * 2**30, "state": 2**29, "bytes": 50_000_000, "collectives": {}}
    cells = "v5e:2x2", "10", "4", "True", "3.00", "0.50", "5", "0"
    assert memory_cells(row | sizes) == cells
    assert len(cells) == len(MEMORY_COLUMNS)


@pytest.mark.parametrize("fsdp", [1, 4])
def test_a_sharded_state_takes_its_share_of_each_device(fsdp):
    mesh = mesh_of(jax.devices()[:4], fsdp)
    shapes = [(3, 3, 32, 64), (64,), (7, 5)]
    state = [jax.ShapeDtypeStruct(s, "float32", sharding=state_sharding(mesh, s)) for s in shapes]
    assert held_bytes(state) == 4 * (9 * 32 * 64 // fsdp + 64 + 7 * 5)
