"""Max pooling or strided convolution, each at its own best learning rate, in a race.

    python ablate.py run --config=configs/ablations/tuned.py --workdir=runs/tuned

Every arm tries the same learning rates on the validation split, with seeds that are not used for
verdicts. An arm that an analysis at 5 or 10 seeds decides takes no further seeds.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from configs.ablations.short import CONFIG, MARGIN, SHORT


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Reductions at their own learning rates, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        shared=(*SHORT, "model.features=8,16,32"),
        arms={
            "max": (),
            "average": ("model.downsample=avg",),
            "strided conv": ("model.downsample=strided_conv",),
        },
        baseline="max",
        seeds=range(20),
        looks=(5, 10, 20),
        race=True,
        tune={"optimizer.learning_rate": (0.1, 0.2, 0.4, 0.8)},
        tuning_seeds=2,
        margin=MARGIN,
    )
