"""The benchmarks compare the same functions, and tell what they were made with."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import forms, gpu, operators, planning, training
from benchmarks.peer import Peer
from benchmarks.sections.results import conditions_text
from cnn.config.errors import UserError
from cnn.ops.kernel_gradient import dense_kernel_gradient
from cnn.ops.max_pool import max_pool
from cnn.ops.padding import make_window
from cnn.training.provenance import provenance

SHAPE = (2, 8, 8, 8)


def test_both_sides_compute_the_same():
    rng = np.random.default_rng(0)
    compared = {name: e for name, e in operators.ENTRIES.items() if e.stock is not None}
    # Positive, for stock forms that take powers of the input as it is.
    drawn = {
        name: [jnp.asarray(rng.uniform(0.1, 1, s), "float32") for s in (SHAPE, *e.arrays(*SHAPE))]
        for name, e in compared.items()
    }

    @jax.jit
    def outputs(drawn):
        return {n: (e.ours(*drawn[n]), e.stock(*drawn[n])) for n, e in compared.items()}

    for name, (ours, stock) in outputs(drawn).items():
        np.testing.assert_allclose(ours, stock, rtol=2e-5, atol=2e-6, err_msg=name)


def test_native_forms_compute_the_same():
    rng = np.random.default_rng(0)
    x, g = (
        jnp.asarray(rng.normal(size=shape), "float32") for shape in ((2, 9, 8, 3), (2, 5, 4, 4))
    )
    window = make_window(x, (3, 3), 2, "SAME")
    ours = dense_kernel_gradient(window, (1, 1), x, g)
    native = forms.native_kernel_gradient(window, (1, 1), x, g)
    np.testing.assert_allclose(ours, native, rtol=1e-4, atol=1e-5)
    pooled = forms.native_max_pool(window, x)
    np.testing.assert_array_equal(max_pool(x, 3, 2, "SAME"), pooled)


def test_a_form_that_a_network_lacks_is_left_out(monkeypatch):
    def step(model, images, labels):
        out = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, False), images)
        return (lambda: out), 0

    monkeypatch.setattr(forms, "our_step", step)
    assert forms.measure("plain", 2, 1).keys() == {"max pooling"}
    with pytest.raises(UserError, match="use one of plain, resnet20, separable"):
        forms.main(["--only=vgg"])


def test_flags_of_the_compiler_are_recorded_and_shown(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", " --xla_cpu_use_onednn=true")
    conditions = {"batch": 2, "dtype": "float32", "repeats": 1, "load_at_start": 0, "date": "today"}
    made = provenance.__wrapped__() | conditions
    assert made["xla_flags"] == "--xla_cpu_use_onednn=true"
    assert ", `XLA_FLAGS=--xla_cpu_use_onednn=true`, today." in conditions_text(made)
    assert "XLA_FLAGS" not in conditions_text(made | {"xla_flags": ""})


def test_the_result_holds_ratios_and_conditions(tmp_path, capsys):
    out = tmp_path / "result.json"
    operators.main(["--shape=2,8,8,8", "--repeats=1", "--only=avg 2/2", f"--out={out}"])
    result = json.loads(out.read_text())
    assert result["conditions"]["shape"] == [2, 8, 8, 8]
    assert {"date", "cpu", "cores", "versions", "load_at_start"} <= set(result["conditions"])
    for row in result["operators"]["avg 2/2"].values():
        assert set(row) == {"milliseconds", "times_avg_2x2", "stock_over_ours"}
        assert min(row.values()) > 0
    assert "avg 2/2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--shape=8,8", "is not B,H,W,C"),
        ("--shape=2,7,8,8", "even H and W"),
        ("--shape=a,8,8,8", "is not B,H,W,C"),
        ("--only=maxx", "no operator is named like 'maxx'"),
        ("--repeats=0", "is too few"),
    ],
)
def test_mistakes_are_refused(flag, message):
    with pytest.raises(UserError, match=message):
        operators.main(["--only=subsample", "--shape=2,8,8,8", flag])


@pytest.mark.parametrize("name", training.PAIRS)
def test_both_sides_of_a_training_step_have_the_same_parameters(name):
    pair, x = training.PAIRS[name], jnp.zeros((2, 32, 32, 3))

    def sizes(init):
        params = jax.eval_shape(init, jax.random.key(0))["params"]
        return sorted(leaf.size for leaf in jax.tree.leaves(params))

    ours = pair.ours()
    assert sizes(lambda key: ours.init(key, x, False)) == sizes(lambda k: pair.stock.init(k, x))


def test_a_python_without_torch_is_reported():
    with pytest.raises(UserError, match="cannot import torch; give a Python"):
        training.main(["--torch-python=/nowhere/python"])


def test_a_peer_steps_when_it_is_told_and_its_end_is_noticed():
    serving = "from benchmarks.peer import serve; print('ready', flush=True); serve(lambda: None)"
    peer = Peer([sys.executable, "-c", serving])
    assert peer.says() == "ready\n"
    peer.step()
    peer.step()
    peer.stop()
    gone = Peer([sys.executable, "-c", "pass"])
    with pytest.raises(RuntimeError, match="ended"):
        gone.says()
    gone.stop()


def test_the_benchmark_of_a_gpu_runs_small(tmp_path, monkeypatch):
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu, "DOWNSAMPLERS", ("max",))
    gpu.main(["--smoke", "--seeds=2", "--repeats=1", "--only=c", f"--out={out}"])
    result = json.loads(out.read_text())
    assert result["conditions"]["smoke"]
    assert min(result["ceilings"].values()) > 0
    runs = result["cifar10"]["max"]
    assert len(runs["accuracies"]) == runs["seeds"] == 2
    assert runs["train_seconds"] > 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only=ceilings"], "jax sees no accelerator; use --smoke"),
        (["--smoke", "--only=resnet51"], "use one of ceilings, resnet50"),
    ],
)
def test_mistakes_with_the_benchmark_of_a_gpu_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        gpu.main(flags)


def test_stock_and_our_resnet50_are_the_same_network():
    make, macs = planning.evaluators(2)
    ours, stock = make(2).model, planning.StockResNet50()
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)

    def sizes(model):
        init = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
        return sorted(x.shape for x in jax.tree.leaves(init))

    assert sizes(ours) == sizes(stock)
    assert macs == 4_089_184_256


def test_micro_batches_keep_the_groups_of_batch_norm_on_a_chip():
    make, _ = planning.evaluators(64, 4)
    config = make(512).config
    assert (config.train.batch_size, config.train.accumulation) == (512, 4)
    assert config.model.ghost_batch == 64
