"""Does the gain from blurring depend on the augmentation? Two factors, fully crossed.

    python ablate.py run --config=configs/ablations/interaction.py --workdir=runs/interaction

Training on flipped and shifted images teaches a network some of what blurring builds in. The report
gives the main effect of each factor and their interaction, the difference of two differences.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from configs.ablations.short import CONFIG, MARGIN, SEEDS, SHORT


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Blurring and augmentation, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        shared=(*SHORT, "model.features=16,32,64"),
        factors={
            "reduction": {"max": (), "max blur": ("model.downsample=max_blur(taps=4)",)},
            "augmentation": {
                "none": ("augment.flip=False",),
                "flips and crops": ("augment.flip=True", "augment.pad=2"),
            },
        },
        seeds=SEEDS,
        margin=MARGIN,
    )
