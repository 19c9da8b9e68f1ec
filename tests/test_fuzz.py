"""Random overrides: whatever is typed, a config is loaded and its network built, or one sentence.

FUZZ=10000 python -m pytest tests/test_fuzz.py, which is `make fuzz`, tries more of them.
"""

import os
import random

import jax
import jax.numpy as jnp

from cnn import models
from cnn.config.base import FIELDS
from cnn.config.errors import UserError
from cnn.config.load import load
from cnn.config.registry import registries
from cnn.data import open_dataset
from cnn.training.plan import make_training_plan
from tests.conftest import REPOSITORY

ROUNDS = int(os.environ.get("FUZZ", "100"))
CONFIGS = ("base", "fashion_mnist_10k", "cifar10_resnet20", "airbench")
NUMBERS = (
    *("0", "1", "-1", "2", "3", "7", "0.5", "-0.5", "1e-3", "1e9", "1e400", "nan", "inf", "-inf"),
    *("2147483647", "2147483648", "1099511627776", "9223372036854775807", "9223372036854775808"),
)
WORDS = (
    *("", " ", "x", "none", "None", "true", "False", "(", ")", "()", "(1,)", "[1, 2]", "a(b=1)"),
    *("5 steps", "10 epochs", "50%", "1e400 steps", "-1 steps", "3 examples", "10"),
    *("1,2", "3.0,3.0,3.0", "nan,nan", "inf,1", "'x','y'", "5 steps,10 steps", "8,8", "16,32,64"),
    *("train", "train[100:]", "train[:50%]", "[", "\x00", "ümlaut", "../..", "a" * 300, "*"),
)
# Of every source there is, the one whose examples need no files.
SMALL = (
    "data.source=synthetic",
    "data.train_split=train",
    "data.test_split=test",
    "data.mean=0.5,0.5,0.5",
    "data.std=0.5,0.5,0.5",
)


def names_of(field):
    """Returns what a selecting field can name."""
    return [name for r in registries() if field in r.fields for name in r]


def value(rng, name):
    """Returns a value for a field, likely or not."""
    field, names = FIELDS[name], names_of(name)
    if names and rng.random() < 0.7:
        chosen = rng.choice(names)
        registry = next(r for r in registries() if name in r.fields)
        options = registry.options(chosen)
        if not options or rng.random() < 0.5:
            return chosen
        option = rng.choice(list(options))
        return f"{chosen}({option}={rng.choice((*NUMBERS, *map(repr, WORDS)))})"
    if rng.random() < 0.7:
        return likely(rng, field)
    if field.several and rng.random() < 0.5:
        return ",".join(rng.choice(NUMBERS) for _ in range(rng.randint(1, 4)))
    return rng.choice((*NUMBERS, *WORDS))


def likely(rng, field):
    """Returns a value of a field's kind, most often one that it can have."""
    if field.choices:
        return str(rng.choice(field.choices))
    one = {
        bool: ("true", "false"),
        int: ("0", "1", "2", "3", "7", "8", "16"),
        float: ("0", "0.1", "0.5", "0.9", "1", "2.5"),
        str: ("10 steps", "50%", "1 epochs", "100 examples") if field.read else WORDS,
    }[field.kind]
    if not field.several:
        return rng.choice(one)
    return ",".join(rng.choice(one) for _ in range(rng.choice(field.counts or (1, 2, 3, 4))))


def try_overrides(config, overrides):
    """Loads, resolves and builds; returns the sentence with which that is refused, or ""."""
    try:
        config = load(str(REPOSITORY / "configs" / f"{config}.py"), overrides).config
        make_training_plan(config, 50_000, 1)
        shape = (32, 32, 3)
        if config.data.source == "synthetic":
            shape = open_dataset(config.data).input_shape
        model = models.build(config.model, 10)
        images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
        rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
        jax.eval_shape(lambda x: model.init(rngs, x, True), images)
    except UserError as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"{overrides}: {type(error).__name__}: {error}") from error
    return ""


def overrides(rng):
    """Returns one or two random overrides; half of them on the network, where values meet."""
    fields = sorted(FIELDS)
    if rng.random() < 0.5:
        fields = [name for name in fields if name.startswith("model.")]
    chosen = [f"{name}={value(rng, name)}" for name in rng.sample(fields, rng.randint(1, 2))]
    return [*rng.choice((SMALL, ())), *chosen]


def test_no_override_ends_in_a_traceback():
    rng = random.Random(int(os.environ.get("FUZZ_SEED", "0")))
    said = [try_overrides(rng.choice(CONFIGS), overrides(rng)) for _ in range(ROUNDS)]
    assert not [sentence for sentence in said if "\n" in sentence]
    assert 0.1 * ROUNDS < len([sentence for sentence in said if not sentence]) < ROUNDS
