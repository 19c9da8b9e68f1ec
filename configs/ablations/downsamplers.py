"""Every operator of the registry, with its default options, in the plain block network.

    python ablate.py run --config=configs/ablations/downsamplers.py --workdir=runs/downsamplers

Aliases of an operator that is already included are left out (`docs/operators.md` has the list).
`none` and `dilated` keep the resolution: they are the expensive controls.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from cnn.layers import DOWNSAMPLERS
from configs.ablations.short import CONFIG, MARGIN, SEEDS, SHORT

# name: the arm that computes the same in this network
SAME = {"conv_blur": "blur", "avg_blur": "blur", "conv_avg": "avg_conv"}


def get_study() -> StudyPlan:
    """Returns the study."""
    names = [name for name, _ in DOWNSAMPLERS.items() if name not in SAME]
    return StudyPlan(
        name="All downsampling operators, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        shared=(*SHORT, "model.features=16,32,64"),
        arms={name: (f"model.downsample={name}",) for name in names},
        baseline="max",
        seeds=SEEDS,
        margin=MARGIN,
    )
