"""The atlas of downsampling: every operator in its published form, on several tasks.

    python ablate.py run --config=configs/ablations/atlas.py:fashion --workdir=runs/fashion \
        --config.data.data_dir=/path/to/tensorflow_datasets

The argument names the row: `fashion` (10,000 images of Fashion-MNIST, enlarged to 32 pixels),
`cifar10` and `resnet8` (10,000 images of CIFAR-10), each tested on the full test set of 10,000
images, or `digits` (spectrograms of 300 spoken digits, tested on 2,700 others by the same
speakers). A row holds the operators about which the field disagrees most; "ROW,others" holds all
others, and "ROW,matched" those whose MACs differ most, at the widths that equal the MACs of the
same baseline. Padding is circular, so that the shift suites measure the operators and not the
borders of the images, and no augmentation shifts images.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.errors import UserError, did_you_mean
from cnn.layers import DOWNSAMPLERS
from configs.spoken_digits import SPLITS

# name of the arm: the operator. APS stands twice: as it is published where it takes the place of a
# max pooling, and without the maximum.
CONTESTED = {
    "max": "max",
    "average": "avg",
    "strided conv": "strided_conv",
    "all conv": "all_conv(window=3)",
    "max blur": "max_blur(taps=4)",
    "max APS": "max_aps",
    "APS": "aps",
    "mixed": "mixed",
    "tree": "tree",
    "soft pool": "soft",
    "DiffStride": "diff_stride",
    "FLC": "flc",
}
# Of these, the ones to repeat at the MACs of the baseline.
MATCHED = ("strided conv", "all conv")
# of a row: the argument after its name -> the end of its title
PARTS = {"others": ", the other operators", "matched": ", equal MACs"}
# In these networks the same as another entry, or no reduction, or not by two.
LEFT_OUT = ("conv_blur", "avg_blur", "conv_avg", "none", "dilated", "fractional")

_PLAIN = (
    "model.name=plain",
    "model.padding=CIRCULAR",
    "train.batch_size=64",
    "optimizer.learning_rate=0.4",
    "model.features=16,32,64",
    "train.duration=6 epochs",
)
_CIFAR10 = ("data.name=cifar10", "data.train_split=train[:10000]")
ROWS = {
    "fashion": (
        "the plain network, 10,000 images of Fashion-MNIST",
        "configs/base.py",
        (
            "data.name=fashion_mnist",
            "data.train_split=train[:10000]",
            # Adaptive sampling needs even sizes down to the last reduction.
            "data.image_size=32",
            *_PLAIN,
        ),
    ),
    "cifar10": (
        "the plain network, 10,000 images of CIFAR-10",
        "configs/base.py",
        (*_CIFAR10, *_PLAIN),
    ),
    "resnet8": (
        "ResNet-8, 10,000 images of CIFAR-10",
        "configs/base.py",
        (
            *_CIFAR10,
            "model.name=resnet20",
            "model.depths=1,1,1",
            "model.padding=CIRCULAR",
            "train.batch_size=128",
            "optimizer.learning_rate=0.4",
            "train.duration=10 epochs",
        ),
    ),
    "digits": (
        "ResNet-8 of half width, spectrograms of 300 spoken digits",
        "configs/spoken_digits.py",
        (
            # The two splits change places: with 2,700 recordings to learn from, nearly all of the
            # other 300 are right (results/spoken_digits), which leaves nothing to compare.
            rf"data.train_split={SPLITS['recordings'][1]}",
            rf"data.test_split={SPLITS['recordings'][0]}",
            "model.features=8,16,32",
            "model.padding=CIRCULAR",
            "train.duration=30 epochs",
        ),
    ),
}
_IMAGES = ("augment.flip=True", "schedule.warmup=10%", "mesh.devices=1", "log.trackers=")
# 48 frames, which halve twice.
_SOUND = ("data.sound.seconds=0.94", "augment.time_shift=0.0", "mesh.devices=1", "log.trackers=")
# What the published claims about these operators are about.
_SUITES = (
    "calibration",
    "shift(images=500, exhaustive=2)",
    "adversarial(images=500, steps=10)",
    "deformation",
)
_SOUND_SUITES = ("calibration", "shift(images=500)")


def get_study(argument: str = "fashion") -> StudyPlan:
    """Returns one row of the atlas, or a part of it: "ROW", "ROW,others" or "ROW,matched"."""
    row, _, part = argument.partition(",")
    if row not in ROWS:
        raise UserError(f"--config: unknown row '{row}': {did_you_mean(row, ROWS)}")
    if part and part not in PARTS:
        raise UserError(f"--config: unknown part '{part}': {did_you_mean(part, PARTS)}")
    title, config, shared = ROWS[row]
    sound = row == "digits"
    return StudyPlan(
        name=f"Atlas of downsampling: {title}{PARTS.get(part, '')}",
        config=config,
        shared=(*shared, *(_SOUND if sound else _IMAGES)),
        arms={name: _overrides(row, text) for name, text in _operators(part).items()},
        baseline="max",
        seeds=range(10),
        looks=(5, 10),
        margin=1.0 if sound else 0.5,
        match="width" if part == "matched" else "",
        suites=_SOUND_SUITES if sound else _SUITES,
    )


def _operators(part: str) -> dict[str, str]:
    """Returns name -> operator of one part of a row."""
    if not part:
        return CONTESTED
    if part == "matched":
        return {"max": "max"} | {f"{name} (equal MACs)": CONTESTED[name] for name in MATCHED}
    there = {text.partition("(")[0] for text in CONTESTED.values()} | set(LEFT_OUT)
    return {"max": "max"} | {name: name for name, _ in DOWNSAMPLERS.items() if name not in there}


def _overrides(row: str, operator: str) -> tuple[str, ...]:
    """Returns the overrides of one arm."""
    overrides = (f"model.downsample={operator}",)
    # The component that the main path picks has to be picked on the shortcut too.
    picks = operator in ("aps", "lps", "max_aps", "max_lps")
    if picks and row in ("resnet8", "digits"):
        overrides += (
            "model.shortcut_downsample=aps"
            if "aps" in operator
            else "model.shortcut_downsample=lps",
        )
    return overrides
