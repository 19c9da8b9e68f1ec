"""Against PyTorch: tests/golden/torch.npz, written by benchmarks/golden_torch.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn.layers import NORMS, ResidualBlock, Sites, Style
from cnn.layers.residual import BASIC, BOTTLENECK, BOTTLENECK_V1
from cnn.ops.average import avg_pool
from cnn.ops.convolution import conv, depthwise_conv
from cnn.ops.max_pool import max_pool
from cnn.ops.weighted import lp_pool
from tests.conftest import REPOSITORY
from tests.layers.cases import KEYS, quick

STYLE = Style(padding="torch")
FILE = REPOSITORY / "tests" / "golden" / "torch.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(FILE) as arrays:
        return dict(arrays)


def part(golden, prefix):
    """Returns the arrays under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}


def nested(flat):
    """Returns {"a/b": x} as {"a": {"b": x}}."""
    tree = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def test_convolution_and_pooling(golden):
    arrays = part(golden, "ops/")
    kernels = {k.removesuffix("/kernel"): v for k, v in arrays.items() if "/kernel" in k}

    def convolved(name, x, kernel):
        if name == "conv3_depthwise":
            return depthwise_conv(x, kernel[..., 0, :], 2, "torch")
        strides, groups = (2 if "s2" in name else 1), (2 if "g2" in name else 1)
        dilation = 2 if "dilated" in name else 1
        return conv(x, kernel, strides, "torch", dilation=dilation, groups=groups)

    @quick
    def run(x, kernels):
        return {name: convolved(name, x, kernel) for name, kernel in kernels.items()} | {
            "max2": max_pool(x, 2, 2, "torch"),
            "max3": max_pool(x, 3, 2, "torch"),
            "avg2": avg_pool(x, 2, 2, "torch"),
            "avg3": avg_pool(x, 3, 2, "torch"),
            "avg3_counted": avg_pool(x, 3, 2, "torch", count_padding=True),
            "lp2": lp_pool(x, 2, 2, "torch", p=2.0),
        }

    found = run(arrays["x"], kernels)
    assert {f"{name}/y" for name in found} == {name for name in arrays if name.endswith("/y")}
    for name, y in found.items():
        np.testing.assert_allclose(y, arrays[f"{name}/y"], rtol=1e-4, atol=1e-5, err_msg=name)


def test_batch_norm(golden):
    arrays = part(golden, "batch_norm/")
    x, layer = arrays["x"], NORMS["batch"](STYLE)

    @quick
    def run(x, params):
        start = {"mean": jnp.zeros(4), "var": jnp.ones(4)}
        variables = {"params": params, "batch_stats": start}
        return layer.apply(variables, x, True, mutable=["batch_stats"])

    params = {name: arrays[f"norm/{name}"] for name in ("scale", "bias")}
    y, updates = run(x, params)
    np.testing.assert_allclose(y, arrays["train"], rtol=1e-4, atol=1e-5)
    stats = updates["batch_stats"]
    np.testing.assert_allclose(stats["mean"], arrays["mean"], rtol=1e-5, atol=1e-6)
    # Ours is the biased variance, as in flax; PyTorch's running one is unbiased.
    count = x.size // x.shape[-1]
    unbiased = 0.9 + (stats["var"] - 0.9) * count / (count - 1)
    np.testing.assert_allclose(unbiased, arrays["unbiased_var"], rtol=1e-5)
    given = {"mean": arrays["mean"], "var": arrays["unbiased_var"]}
    y = layer.apply({"params": params, "batch_stats": given}, x, False)
    np.testing.assert_allclose(y, arrays["evaluation"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shortcut", ["strided_conv", "subsample"])
@pytest.mark.parametrize(
    ("name", "form"),
    [("basic", BASIC), ("bottleneck", BOTTLENECK), ("bottleneck_v1", BOTTLENECK_V1)],
)
def test_residual_blocks_and_their_gradients(golden, name, form, shortcut):
    arrays = part(golden, f"{name}/")
    sites = Sites("strided_conv", shortcut, "projection")
    block = ResidualBlock(4, form, sites, STYLE, strides=2)

    @quick
    def run(x, params):
        stats = block.init(KEYS, x, True)["batch_stats"]

        def loss(params, x):
            given = {"params": params, "batch_stats": stats}
            y, _ = block.apply(given, x, True, mutable=["batch_stats"])
            return jnp.sum(y**2), y

        (_, y), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, x)
        return y, *gradients

    y, params, x = run(arrays["x"], nested(part(arrays, "params/")))
    tolerance = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(y, arrays["y"], **tolerance)
    np.testing.assert_allclose(x, arrays["x_gradient"], rtol=1e-3, atol=1e-3)
    kernel = params["conv1"]["block"]["conv"]["kernel"]
    np.testing.assert_allclose(kernel, arrays["conv1_gradient"], rtol=1e-3, atol=1e-3)
