"""Published augmentation policies: which Pillow operations are applied, at which magnitude.

Every policy has a space: operations, each with a number of levels. The operations, spaces and draws
are those of torchvision.transforms (0.29), which follow the papers except where noted below.

An operation is one row of a table: which function, and for each level and sign the number or the
map of places that it takes. The tables are computed once, in float64, so that an image is moved to
exactly the pixels that Pillow moves it to.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cnn.config.errors import UserError
from cnn.config.fields import Interval
from cnn.data import color
from cnn.data.augmentation import AUGMENTATIONS
from cnn.data.geometry import move

# Fixed point of the places that pixels are taken from, as in Pillow.
_ONE = 1 << 16

_Levels = np.ndarray  # float64 [levels]
_COLOUR = tuple(color.OPERATIONS.values())
_MOVE = len(_COLOUR)  # the branch that moves pixels


@dataclass(frozen=True)
class Operation:
    """One operation of a space.

    Attributes:
      name: as in the papers.
      levels: its magnitudes; one of 0 where there is none.
      signed: whether a coin turns a magnitude negative.
    """

    name: str
    levels: _Levels
    signed: bool = False


@dataclass(frozen=True)
class Table:
    """A space as NumPy arrays; `[operations, levels, 2, ...]`, the sign last: as it is, negative.

    Not JAX's, since it is kept from one trace to the next.

    Attributes:
      branch: int32 `[operations]`, which function.
      amount: float32, what a function of colour takes.
      places: int32 `[..., 6]`, the map of `geometry.move`.
      counts: int32 `[operations]`, levels that there are.
      names: of the operations.
    """

    branch: np.ndarray
    amount: np.ndarray
    places: np.ndarray
    counts: np.ndarray
    names: tuple[str, ...]


def space_of(kind: str, height: int, width: int) -> tuple[Operation, ...]:
    """Returns the operations of "rand", "trivial", "auto" or "augmix" for images of a size."""
    bins = {"rand": 31, "trivial": 31}.get(kind, 10)
    shear, blend, turn = {"trivial": (0.99, 0.99, 135.0)}.get(kind, (0.3, 0.9, 30.0))
    share = {"augmix": 1 / 3}.get(kind, 150 / 331)
    reach = (32.0, 32.0) if kind == "trivial" else (share * width, share * height)
    most_bits, dropped = (4 if kind == "augmix" else 8), (6 if kind == "trivial" else 4)
    bits = most_bits - np.round(np.arange(bins) / ((bins - 1) / dropped))
    none = np.zeros(1)

    def to(end: float) -> _Levels:
        return np.linspace(0.0, end, bins)

    found = (
        Operation("Identity", none),
        Operation("ShearX", to(shear), True),
        Operation("ShearY", to(shear), True),
        Operation("TranslateX", to(reach[0]), True),
        Operation("TranslateY", to(reach[1]), True),
        Operation("Rotate", to(turn), True),
        Operation("Brightness", to(blend), True),
        Operation("Color", to(blend), True),
        Operation("Contrast", to(blend), True),
        Operation("Sharpness", to(blend), True),
        Operation("Posterize", bits),
        Operation("Solarize", np.linspace(255.0, 0.0, bins)),
        Operation("AutoContrast", none),
        Operation("Equalize", none),
        Operation("Invert", none),
    )
    left_out = {"auto": ("Identity",), "augmix": ("Identity", "Invert")}.get(kind, ("Invert",))
    return tuple(operation for operation in found if operation.name not in left_out)


@lru_cache
def table_of(kind: str, height: int, width: int) -> Table:
    """Returns the space of a policy as arrays, computed in float64."""
    space = space_of(kind, height, width)
    most = max(len(operation.levels) for operation in space)
    names = list(color.OPERATIONS)
    branch, amount, places = [], np.zeros((len(space), most, 2)), []
    for row, operation in enumerate(space):
        moves = operation.name in _MOVES
        branch.append(_MOVE if moves else names.index(operation.name.lower()))
        levels = np.resize(operation.levels, most)
        signed = np.stack([levels, -levels if operation.signed else levels], axis=1)
        amount[row] = _amount(operation.name, signed)
        identity = np.broadcast_to([1.0, 0, 0, 0, 1, 0], (most, 2, 6))
        places.append(
            [[_MOVES[operation.name](v, height, width) for v in pair] for pair in signed]
            if moves
            else identity
        )
    return Table(
        np.array(branch, np.int32),
        amount.astype(np.float32),
        _fixed_point(np.array(places)),
        np.array([len(operation.levels) for operation in space], np.int32),
        tuple(operation.name for operation in space),
    )


def _amount(name: str, levels: np.ndarray) -> np.ndarray:
    """Returns what the function in `color` takes for a magnitude."""
    if name == "Posterize":
        return (8 - levels) / 4
    if name == "Solarize":
        return 1 - levels / 255
    return levels / 0.9


def _turned(degrees: float, height: int, width: int) -> tuple[float, ...]:
    angle = -math.radians(degrees)
    cosine, sine = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    return cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y


# Magnitude, height and width -> the map (a, b, c, d, e, f) by which the pixel shown at (x, y) is
# the one at (a x + b y + c, d x + e y + f).
_MOVES: dict[str, Callable[[float, int, int], tuple[float, ...]]] = {
    "ShearX": lambda v, height, width: (1, v, 0, 0, 1, 0),
    "ShearY": lambda v, height, width: (1, 0, 0, v, 1, 0),
    "TranslateX": lambda v, height, width: (1, 0, -int(v), 0, 1, 0),
    "TranslateY": lambda v, height, width: (1, 0, 0, 0, 1, -int(v)),
    "Rotate": _turned,
}


def _fixed_point(places: np.ndarray) -> np.ndarray:
    """Returns int32 maps `[..., 6]` of pixel numbers of maps of places, rounded as in Pillow."""
    a, b, c, d, e, f = np.moveaxis(places, -1, 0)
    centred = np.stack([a, b, c + 0.5 * (a + b), d, e, f + 0.5 * (d + e)], axis=-1)
    return np.floor(centred * _ONE + 0.5).astype(np.int32)


def apply(table: Table, image: Array, operation: Array, level: Array, sign: Array) -> Array:
    """Applies one operation to float32 `[H, W, C]` of whole numbers from 0 to 255."""
    amount = jnp.asarray(table.amount)[operation, level, sign]
    places = jnp.asarray(table.places)[operation, level, sign]
    branches = [lambda image, f=f: f(image, amount) for f in _COLOUR]
    branches.append(lambda image: move(image, places))
    return jax.lax.switch(jnp.asarray(table.branch)[operation], branches, image)


def _each(images: Array, *rest: Array, of: Callable[..., Array]) -> Array:
    """Applies a function of one float32 image to each of uint8 `[B, H, W, C]`."""
    return jax.vmap(of)(images.astype(jnp.float32), *rest).astype(jnp.uint8)


@AUGMENTATIONS.register("randaugment")
def randaugment(
    key: Array,
    images: Array,
    *,
    operations: Annotated[int, Interval("[1, 16]")] = 2,
    magnitude: Annotated[int, Interval("[0, 30]")] = 9,
) -> Array:
    """RandAugment (Cubuk et al. 2020): operations in turn, each uniform among 14, at one of 31
    magnitudes.
    """
    table = table_of("rand", *images.shape[1:3])
    operation_key, sign_key = jax.random.split(key)
    shape = (len(images), operations)
    chosen = jax.random.randint(operation_key, shape, 0, len(table.names))
    signs = jax.random.bernoulli(sign_key, 0.5, shape).astype(jnp.int32)
    levels = jnp.minimum(magnitude, jnp.asarray(table.counts)[chosen] - 1)

    def augment(image: Array, chosen: Array, levels: Array, signs: Array) -> Array:
        def step(image: Array, draw: Sequence[Array]) -> tuple[Array, None]:
            return apply(table, image, *draw), None

        return jax.lax.scan(step, image, (chosen, levels, signs))[0]

    return _each(images, chosen, levels, signs, of=augment)


@AUGMENTATIONS.register("trivialaugment")
def trivialaugment(key: Array, images: Array) -> Array:
    """TrivialAugment (Müller & Hutter 2021), wide: one operation of 14, at a uniform magnitude."""
    table = table_of("trivial", *images.shape[1:3])
    operation_key, level_key, sign_key = jax.random.split(key, 3)
    count = (len(images),)
    chosen = jax.random.randint(operation_key, count, 0, len(table.names))
    levels = jax.random.randint(level_key, count, 0, jnp.asarray(table.counts)[chosen])
    signs = jax.random.bernoulli(sign_key, 0.5, count).astype(jnp.int32)
    return _each(images, chosen, levels, signs, of=lambda image, *draw: apply(table, image, *draw))


# Sub-policies of AutoAugment (Cubuk et al. 2019, Table 7 to 9): operation, probability in tenths,
# level. Po, So, ...: the first letters; X and Y end shears and translations.
_SHORT = {
    "Sx": "ShearX",
    "Sy": "ShearY",
    "Tx": "TranslateX",
    "Ty": "TranslateY",
    "Ro": "Rotate",
    "Br": "Brightness",
    "Co": "Color",
    "Ct": "Contrast",
    "Sh": "Sharpness",
    "Po": "Posterize",
    "So": "Solarize",
    "Ac": "AutoContrast",
    "Eq": "Equalize",
    "In": "Invert",
}
POLICIES = {
    "imagenet": """
        Po 4 8 Ro 6 9, So 6 5 Ac 6 -, Eq 8 - Eq 6 -, Po 6 7 Po 6 6, Eq 4 - So 2 4, Eq 4 - Ro 8 8,
        So 6 3 Eq 6 -, Po 8 5 Eq 10 -, Ro 2 3 So 6 8, Eq 6 - Po 4 6, Ro 8 8 Co 4 0, Ro 4 9 Eq 6 -,
        Eq 0 - Eq 8 -, In 6 - Eq 10 -, Co 6 4 Ct 10 8, Ro 8 8 Co 10 2, Co 8 8 So 8 7, Sh 4 7 In 6 -,
        Sx 6 5 Eq 10 -, Co 4 0 Eq 6 -, Eq 4 - So 2 4, So 6 5 Ac 6 -, In 6 - Eq 10 -, Co 6 4 Ct 10 8,
        Eq 8 - Eq 6 -""",
    "cifar10": """
        In 1 - Ct 2 6, Ro 7 2 Tx 3 9, Sh 8 1 Sh 9 3, Sy 5 8 Ty 7 9, Ac 5 - Eq 9 -, Sy 2 7 Po 3 7,
        Co 4 3 Br 6 7, Sh 3 9 Br 7 9, Eq 6 - Eq 5 -, Ct 6 7 Sh 6 5, Co 7 7 Tx 5 8, Eq 3 - Ac 4 -,
        Ty 4 3 Sh 2 6, Br 9 6 Co 2 8, So 5 2 In 0 -, Eq 2 - Ac 6 -, Eq 2 - Eq 6 -, Co 9 9 Eq 6 -,
        Ac 8 - So 2 8, Br 1 3 Co 7 0, So 4 5 Ac 9 -, Ty 9 9 Ty 7 9, Ac 9 - So 8 3, Eq 8 - In 1 -,
        Ty 7 9 Ac 9 -""",
    "svhn": """
        Sx 9 4 In 2 -, Sy 9 8 In 7 -, Eq 6 - So 6 6, In 9 - Eq 6 -, Eq 6 - Ro 9 3, Sx 9 4 Ac 8 -,
        Sy 9 8 In 4 -, Sy 9 5 So 2 6, In 9 - Ac 8 -, Eq 6 - Ro 9 3, Sx 9 4 So 3 3, Sy 8 8 In 7 -,
        Eq 9 - Ty 6 6, In 9 - Eq 6 -, Ct 3 3 Ro 8 4, In 8 - Ty 0 2, Sy 7 6 So 4 8, In 6 - Ro 8 4,
        Sy 3 7 Tx 9 3, Sx 1 6 In 6 -, So 7 2 Ty 6 7, Sy 8 4 In 8 -, Sx 7 9 Ty 8 3, Sy 8 5 Ac 7 -,
        Sx 7 2 In 1 -""",
}


def sub_policies(policy: str) -> list[list[tuple[str, float, int | None]]]:
    """Returns (operation, probability, level) of both steps of each of the 25 sub-policies."""
    found = []
    for text in POLICIES[policy].split(","):
        words = text.split()
        steps = (words[:3], words[3:])
        found.append(
            [
                (_SHORT[name], int(tenths) / 10, None if level == "-" else int(level))
                for name, tenths, level in steps
            ]
        )
    return found


@AUGMENTATIONS.register("autoaugment")
def autoaugment(
    key: Array, images: Array, *, policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet"
) -> Array:
    """AutoAugment (Cubuk et al. 2019): one of 25 learned pairs of operations, each with its own
    probability and magnitude.
    """
    table = table_of("auto", *images.shape[1:3])
    steps = [step for pair in sub_policies(policy) for step in pair]
    chosen = jnp.array([table.names.index(name) for name, _, _ in steps]).reshape(-1, 2)
    probability = jnp.array([share for _, share, _ in steps]).reshape(-1, 2)
    level = jnp.array([level or 0 for _, _, level in steps]).reshape(-1, 2)
    pair_key, share_key, sign_key = jax.random.split(key, 3)
    pairs = jax.random.randint(pair_key, (len(images),), 0, len(chosen))
    shares = jax.random.uniform(share_key, (len(images), 2))
    signs = jax.random.bernoulli(sign_key, 0.5, (len(images), 2)).astype(jnp.int32)

    def augment(image: Array, pair: Array, shares: Array, signs: Array) -> Array:
        def step(image: Array, draw: Sequence[Array]) -> tuple[Array, None]:
            share, bound, *rest = draw
            return jnp.where(share <= bound, apply(table, image, *rest), image), None

        draws = (shares, probability[pair], chosen[pair], level[pair], signs)
        return jax.lax.scan(step, image, draws)[0]

    return _each(images, pairs, shares, signs, of=augment)


@AUGMENTATIONS.register("augmix")
def augmix(
    key: Array,
    images: Array,
    *,
    severity: Annotated[int, Interval("[1, 10]")] = 3,
    width: Annotated[int, Interval("[1, 16]")] = 3,
    depth: Annotated[int, Interval("[0, 16]")] = 0,
    alpha: Annotated[float, Interval("(0, 1000]")] = 1.0,
) -> Array:
    """AugMix (Hendrycks et al. 2020): chains of random operations, mixed with the image itself.

    Without the paper's consistency loss; all 13 operations; the level of each is uniform among the
    lowest `severity` of ten.

    Args:
      key: of the draws.
      images: uint8 `[B, H, W, C]`.
      severity: levels.
      width: chains.
      depth: operations of a chain; 0: one to three.
      alpha: of the Dirichlet and Beta distributions of the shares.
    """
    table = table_of("augmix", *images.shape[1:3])
    most, batch = depth or 3, len(images)
    keys = jax.random.split(key, 6)
    shape = (batch, width, most)
    chosen = jax.random.randint(keys[0], shape, 0, len(table.names))
    levels = jax.random.randint(
        keys[1], shape, 0, jnp.minimum(severity, jnp.asarray(table.counts)[chosen])
    )
    signs = jax.random.bernoulli(keys[2], 0.5, shape).astype(jnp.int32)
    depths = jax.random.randint(keys[3], (batch, width), depth or 1, most + 1)
    chains = jax.random.dirichlet(keys[4], jnp.full(width, alpha), (batch,))
    mixed = jax.random.beta(keys[5], alpha, alpha, (batch,))

    def augment(image, chosen, levels, signs, depths, chains, mixed):
        def one(total: Array, draws: Sequence[Array]) -> tuple[Array, None]:
            chosen, levels, signs, depth, share = draws

            def step(image: Array, draw: Sequence[Array]) -> tuple[Array, None]:
                place, *rest = draw
                return jnp.where(place < depth, apply(table, image, *rest), image), None

            end, _ = jax.lax.scan(step, image, (jnp.arange(most), chosen, levels, signs))
            return total + mixed * share * end, None

        draws = (chosen, levels, signs, depths, chains)
        return jax.lax.scan(one, (1 - mixed) * image, draws)[0]

    return _each(images, chosen, levels, signs, depths, chains, mixed, of=augment)


@AUGMENTATIONS.register("random_erasing")
def random_erasing(
    key: Array,
    images: Array,
    *,
    probability: Annotated[float, Interval("[0, 1]")] = 0.5,
    smallest: Annotated[float, Interval("(0, 1]")] = 0.02,
    largest: Annotated[float, Interval("(0, 1]")] = 0.4,
    fill: Literal["random", "zero"] = "random",
) -> Array:
    """Random erasing (Zhong et al. 2020): a box of random pixels, or of zeros, in some images.

    The share of the area is uniform, and the aspect ratio log-uniform in [0.3, 1 / 0.3], as in
    torchvision; a box larger than the image is drawn again, up to ten times, and then left out.

    Raises:
      UserError: `smallest` above `largest`.
    """
    if smallest > largest:
        raise UserError(
            f"augment.extra: smallest={smallest} of 'random_erasing' is above largest={largest}; "
            "exchange them"
        )
    coin_key, area_key, ratio_key, place_key, fill_key = jax.random.split(key, 5)
    batch, height, width, _ = images.shape
    tries = (batch, 10)
    areas = jax.random.uniform(area_key, tries, minval=smallest, maxval=largest) * height * width
    bound = math.log(0.3)
    ratios = jnp.exp(jax.random.uniform(ratio_key, tries, minval=bound, maxval=-bound))
    heights = jnp.round(jnp.sqrt(areas * ratios))
    widths = jnp.round(jnp.sqrt(areas / ratios))
    fits = (heights < height) & (widths < width)
    first = jnp.argmax(fits, axis=1)[:, None]
    sizes = [jnp.take_along_axis(x, first, axis=1)[:, 0] for x in (heights, widths)]
    corners = jax.random.uniform(place_key, (2, batch))
    inside = []
    for corner, side, size in zip(corners, (height, width), sizes, strict=True):
        start = jnp.floor(corner * (side - size + 1))[:, None]
        inside.append((jnp.arange(side) >= start) & (jnp.arange(side) < start + size[:, None]))
    box = inside[0][:, :, None, None] & inside[1][:, None, :, None]
    erased = jax.random.bernoulli(coin_key, probability, (batch,)) & fits.any(1)
    content = jnp.zeros_like(images)
    if fill == "random":
        content = jax.random.bits(fill_key, images.shape, jnp.uint8)
    return jnp.where(erased[:, None, None, None] & box, content, images)
