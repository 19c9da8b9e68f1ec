"""Configs of small networks, one for each kind of construction."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from cnn.models import MODELS, build
from configs import base

# One network for each way in which networks are made.
KINDS = (
    "plain",
    "vgg11",
    "lenet5",
    "all_cnn_c",
    "resnet20",
    "resnet50",
    "resnet50_v1",
    "resnet18d",
    "se_resnet18",
    "preact_resnet50",
    "wrn16_4",
    "mobilenet_v1",
    "mobilenet_v2",
    "convnext_t",
    "densenet121",
    "airbench",
    "alexnet",
    "convnextv2_atto",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "repvgg_a0",
    "repvgg_a0_fused",
    "squeezenet1_1",
)
SHAPE = (2, 16, 16, 3)
# The same for sounds and clips, with a batch that each takes.
OTHER_SHAPES = {
    "m5": (2, 512, 1),
    "m11": (2, 512, 1),
    "ds_cnn_s": (2, 24, 10, 1),
    "ds_cnn_m": (2, 24, 10, 1),
    **{name: (2, 4, 8, 8, 3) for name, entry in MODELS.items() if entry.clips},
}


def model_config(name: str, **fields: Any) -> ConfigDict:
    """Returns config.model of a network, with other fields."""
    model = base.get_config().model
    with model.unlocked():
        model.update(name=name, **fields)
    return model


def small_config(name: str, **fields: Any) -> ConfigDict:
    """Returns a config.model of few stages and channels, for images of 16 pixels."""
    network, small = MODELS[name], {}
    if name.startswith("ds_cnn"):
        small |= {"features": (8,), "depths": (1,)}
    elif name in OTHER_SHAPES:
        stem = {"stem": "cifar"} if network.stems else {}
        small |= {"features": (4, 6), "depths": (1, 1), "head": "avg"} | stem
    elif "features" in network.reads:
        small |= {"features": (8, 8), "depths": (1, 1)}
    elif "depths" in network.reads:
        # As many stages as have every kind of reduction.
        small |= {"depths": (1, 1, 1), "width": 1 / 16, "stem": "cifar"}
    elif "width" in network.reads:
        small |= {"width": 1 / 16, "stem": "cifar"}
    if name.startswith("vgg"):
        small["head"] = "flatten(hidden=(8,))"
    return model_config(name, **(small | fields))


def abstract(model: ConfigDict, shape: tuple[int, ...] = SHAPE) -> tuple[Any, Any]:
    """Returns logits and variables as shapes, in training; nothing is computed."""
    module = build(model, 10)
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(lambda x: module.init_with_output(rngs, x, True), x)


def parameters(variables: Any) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each parameter, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    return {"/".join(k.key for k in path): leaf.shape for path, leaf in leaves}


def untrained(shapes: Any) -> Any:
    """Returns He-normal kernels, biases and means 0, and the rest 1, without compiling."""
    rng = np.random.default_rng(1)

    def value(path: Any, leaf: Any) -> np.ndarray:
        if path[-1].key == "kernel":
            fan_in = np.prod(leaf.shape[:-1])
            return rng.normal(0, np.sqrt(2 / fan_in), leaf.shape).astype(np.float32)
        return np.full(leaf.shape, path[-1].key not in ("bias", "mean"), np.float32)

    return jax.tree_util.tree_map_with_path(value, shapes)
