"""Plain, residual or separable blocks at equal compute? Two convolutions or blocks per stage.

    python ablate.py run --config=configs/ablations/blocks.py --workdir=runs/blocks

The widths below are the start of a search: they are changed until all arms take as many
multiply-accumulates as the plain network.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from configs.ablations.short import CONFIG, MARGIN, SEEDS, SHORT


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Blocks, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        shared=(*SHORT, "model.downsample=strided_conv"),
        arms={
            "plain": ("model.name=plain", "model.features=16,32,64", "model.depths=2,2,2"),
            "residual": ("model.name=resnet20", "model.features=10,19,38", "model.depths=1,1,1"),
            "separable": (
                "model.name=mobilenet_v1",
                "model.stem=cifar",
                "model.activation=relu",
                "model.features=25,50,109",
                "model.depths=2,2,2",
            ),
        },
        baseline="plain",
        seeds=SEEDS,
        margin=MARGIN,
        match="width",
    )
