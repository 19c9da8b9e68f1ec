"""Random overrides: whatever is typed, a config is loaded and its network built, or one sentence.

    python benchmarks/fuzz.py [--tries=10000] [--seconds=0] [--seed=0] [--out=FILE]

Each try draws one or two fields and values, likely or absurd, from the seed and its own number, so
any of them can be repeated. A file that is there already is gone on with.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp

from benchmarks import record
from cnn import models
from cnn.config.base import FIELDS
from cnn.config.entry import Parser, run_command
from cnn.config.errors import UserError
from cnn.config.fields import Field
from cnn.config.load import load
from cnn.config.registry import registries
from cnn.data import open_dataset
from cnn.training.plan import make_training_plan

ROOT = Path(__file__).parents[1]
EVERY = 50  # tries between two writes of the result
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


def names_of(field: str) -> list[str]:
    """Returns what a selecting field can name."""
    return [name for r in registries() if field in r.fields for name in r]


def value(rng: random.Random, name: str) -> str:
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


def likely(rng: random.Random, field: Field) -> str:
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


def try_overrides(config: str, overrides: list[str]) -> str:
    """Loads, resolves and builds; returns the sentence with which that is refused, or "".

    Raises:
      AssertionError: it ends in a traceback.
    """
    try:
        config = load(str(ROOT / "configs" / f"{config}.py"), overrides).config
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


def random_overrides(rng: random.Random) -> list[str]:
    """Returns one or two random overrides; half of them on the network, where values meet."""
    fields = sorted(FIELDS)
    if rng.random() < 0.5:
        fields = [name for name in fields if name.startswith("model.")]
    chosen = [f"{name}={value(rng, name)}" for name in rng.sample(fields, rng.randint(1, 2))]
    return [*rng.choice((SMALL, ())), *chosen]


def one_try(seed: int, number: int) -> str:
    """Returns the sentence of a try, or "".

    Raises:
      AssertionError: see `try_overrides`.
    """
    rng = random.Random(f"{seed}/{number}")
    return try_overrides(rng.choice(CONFIGS), random_overrides(rng))


def begun(out: str, seed: int) -> dict[str, Any]:
    """Returns what a result file holds, or one with nothing tried.

    Raises:
      UserError: it is of another seed.
    """
    if not (out and Path(out).is_file()):
        return {"tried": 0, "accepted": 0, "refused": 0, "tracebacks": [], "mended": []}
    found = json.loads(Path(out).read_text())
    if found["conditions"]["seed"] != seed:
        raise UserError(f"--out: {out} is of --seed={found['conditions']['seed']}; remove it")
    return found


def note(found: dict[str, Any], seed: int, number: int) -> bool:
    """Makes a try and counts how it ends; returns whether that is without a traceback."""
    try:
        sentence = one_try(seed, number)
        if "\n" in sentence:
            raise AssertionError(f"more than one line: {sentence}")
    except AssertionError as error:
        text = f"{number}: {error}"
        if text not in found["tracebacks"]:
            found["tracebacks"].append(text)
        return False
    found["refused" if sentence else "accepted"] += 1
    return True


def main(arguments: list[str]) -> None:
    """Tries, prints what ends in a traceback, and writes the JSON file."""
    parser = Parser(prog="benchmarks/fuzz.py", description=__doc__.split("\n")[0])
    parser.add_argument("--tries", type=int, default=10_000, help="in all")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so many; 0: never")
    parser.add_argument("--seed", type=int, default=0, help="of what is tried")
    parser.add_argument("--out", default="", help="JSON file to write, or to go on with")
    flags = parser.parse_args(arguments)
    jax.config.update("jax_platforms", "cpu")
    found, start = begun(flags.out, flags.seed), time.monotonic()
    found["conditions"] = record.conditions(seed=flags.seed)
    # Once mended, what ended in a traceback is kept apart.
    for text in found["tracebacks"][:]:
        if note(found, flags.seed, int(text.partition(":")[0])):
            found["tracebacks"].remove(text)
            found["mended"].append(text)
    while found["tried"] < flags.tries:
        if not note(found, flags.seed, found["tried"]):
            print(found["tracebacks"][-1], flush=True)
        found["tried"] += 1
        over = bool(flags.seconds) and time.monotonic() - start > flags.seconds
        if over or found["tried"] % EVERY == 0 or found["tried"] == flags.tries:
            record.write(flags.out, found)
        if over:
            break
    print({name: found[name] for name in ("tried", "accepted", "refused")}, flush=True)
    if found["tracebacks"]:
        raise UserError(f"{len(found['tracebacks'])} of {found['tried']} end in a traceback")


if __name__ == "__main__":
    run_command(main)
