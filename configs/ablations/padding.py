"""Which padding? The plain block network with strided convolutions.

    python ablate.py run --config=configs/ablations/padding.py --workdir=runs/padding

At stride 1, `SAME` and `torch` are the same; at stride 2 they sample different positions.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from cnn.ops.padding import MODES
from configs.ablations.short import CONFIG, MARGIN, SEEDS, SHORT


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Padding, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        shared=(*SHORT, "model.features=16,32,64", "model.downsample=strided_conv"),
        arms={mode: (f"model.padding={mode}",) for mode in MODES},
        baseline="SAME",
        seeds=SEEDS,
        margin=MARGIN,
    )
