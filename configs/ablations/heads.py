"""Every head (pooling before the classifier), on the plain block network.

python ablate.py run --config=configs/ablations/heads.py --workdir=runs/heads
"""

from cnn.ablation.planning.study_plan import StudyPlan
from cnn.layers import HEADS
from configs.ablations.short import CONFIG, MARGIN, SEEDS, SHORT


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Heads, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        shared=(*SHORT, "model.features=16,32,64"),
        arms={name: (f"model.head={name}",) for name, _ in HEADS.items()},
        baseline="avg",
        seeds=SEEDS,
        margin=MARGIN,
    )
