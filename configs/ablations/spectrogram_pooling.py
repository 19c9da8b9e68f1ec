"""Which reduction for spectrograms of spoken digits?

    python ablate.py run --config=configs/ablations/spectrogram_pooling.py --workdir=runs/sound

The argument names what is held out, as in configs/spoken_digits.py: `recordings` (the default) or
`speakers`: four are trained on and two are tested on. Recordings of one speaker are not
independent, so there the verdicts rest on two speakers, who say next to nothing about others.
`speakers,small` is a smaller version that takes minutes: half the width, three seeds, four arms.
The recordings are in ../shared/spoken_digits.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.errors import UserError

OPERATORS = {
    "strided conv": "strided_conv",
    "max": "max",
    "average": "avg",
    "max blur": "max_blur(taps=4)",
    "conv pool": "conv_pool",
    "soft pool": "soft",
}


# The independent unit of the test examples: with unseen speakers, the speaker.
UNITS = {"recordings": "", "speakers": r"([a-z]+)_\d+\.wav$"}
SMALL = ("strided conv", "max", "average", "max blur")


def get_study(argument: str = "recordings") -> StudyPlan:
    """Returns the study on one way to split the recordings, "SPLIT" or "SPLIT,small"."""
    split, _, size = argument.partition(",")
    if size not in ("", "small"):
        raise UserError(f"--config: unknown '{size}'; allowed after the split: small")
    arms = {name: (f"model.downsample={text}",) for name, text in OPERATORS.items()}
    if size:
        return StudyPlan(
            name=f"Reductions on spectrograms of spoken digits, unseen {split}, narrow networks",
            config=f"configs/spoken_digits.py:{split}",
            shared=(
                "train.duration=8 epochs",
                "model.features=8,16,32",
                "checkpoint.every=8 epochs",
                "log.trackers=",
            ),
            arms={name: arms[name] for name in SMALL},
            baseline="strided conv",
            seeds=range(3),
            margin=1.0,
            unit=UNITS.get(split, ""),
            repeat_baseline=False,
        )
    return StudyPlan(
        name=f"Reductions on spectrograms of spoken digits, unseen {split}",
        config=f"configs/spoken_digits.py:{split}",
        shared=("train.duration=8 epochs",),
        arms=arms,
        baseline="strided conv",
        seeds=tuple(range(10)),
        margin=1.0,
        unit=UNITS.get(split, ""),
    )
