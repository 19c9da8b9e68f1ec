"""Plain, residual or separable blocks? Two a stage.

python ablate.py run --config=configs/ablations/blocks.py --workdir=runs/blocks
"""

from cnn.ablation.plan import StudyPlan
from configs.ablations.short import CONFIG, MARGIN, SEEDS, SHORT


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Blocks, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        shared=(*SHORT, "model.downsample=strided_conv"),
        arms={
            "plain": ("model.name=plain", "model.features=16,32,64", "model.depths=2,2,2"),
            "residual": ("model.name=resnet20", "model.features=16,32,64", "model.depths=1,1,1"),
            "separable": (
                "model.name=mobilenet_v1",
                "model.stem=cifar",
                "model.activation=relu",
                "model.features=48,96,192",
                "model.depths=2,2,2",
            ),
        },
        baseline="plain",
        seeds=SEEDS,
        margin=MARGIN,
    )
