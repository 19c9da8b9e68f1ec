"""Which reduction for spectrograms of spoken digits?

    python ablate.py run --config=configs/ablations/spectrogram_pooling.py --workdir=runs/sound

The argument names what is held out, as in configs/spoken_digits.py: `recordings` (the default) or
`speakers`, two of whom are tested on. The recordings lie in ../shared/spoken_digits.
"""

from cnn.ablation.plan import StudyPlan

OPERATORS = {
    "strided conv": "strided_conv",
    "max": "max",
    "average": "avg",
    "max blur": "max_blur(taps=4)",
    "conv pool": "conv_pool",
    "soft pool": "soft",
}


def get_study(split: str = "recordings") -> StudyPlan:
    """Returns the study on one way to split the recordings."""
    return StudyPlan(
        name=f"Reductions on spectrograms of spoken digits, unseen {split}",
        config=f"configs/spoken_digits.py:{split}",
        shared=("train.duration=8 epochs",),
        arms={name: (f"model.downsample={text}",) for name, text in OPERATORS.items()},
        baseline="strided conv",
        seeds=tuple(range(10)),
        margin=0.01,
    )
