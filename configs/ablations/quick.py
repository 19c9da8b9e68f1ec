"""Max, average or strided convolution? A small study for a first look: `make ablation`."""

from cnn.ablation.planning.study_plan import StudyPlan
from configs.ablations.short import CONFIG, MARGIN, SEEDS, SHORT


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Three ways to lose resolution, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        shared=(*SHORT, "train.duration=3 epochs", "model.features=8,16,32"),
        arms={
            "max": (),
            "average": ("model.downsample=avg",),
            "strided conv": ("model.downsample=strided_conv",),
        },
        baseline="max",
        seeds=SEEDS,
        margin=MARGIN,
    )
