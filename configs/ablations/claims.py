"""A published claim at small scale: the claim's arms in the plain network on Fashion-MNIST.

    python ablate.py run --config=configs/ablations/claims.py:zhang2019 --workdir=runs/zhang2019
    python ablate.py claim zhang2019 --workdir=runs/zhang2019

`python ablate.py claim` lists them. Images are enlarged to 32 pixels and padding is circular, so
that every stage can be halved and circular shifts can be exact.
"""

from cnn.ablation.claims import CLAIMS
from cnn.ablation.planning.study_plan import StudyPlan
from configs.ablations.short import CONFIG, MARGIN, SHORT


def get_study(name: str = "zhang2019") -> StudyPlan:
    """Returns the study that tries a claim."""
    claim = CLAIMS.look_up(name, "--config")
    return StudyPlan(
        name=f"{claim.says} (10,000 images of Fashion-MNIST)",
        config=CONFIG,
        shared=(
            *SHORT,
            "data.image_size=32",
            "model.features=16,32,64",
            "model.padding=CIRCULAR",
            "augment.pad=0",
        ),
        arms=claim.arms,
        baseline=next(iter(claim.arms)),
        seeds=range(claim.seeds),
        margin=MARGIN,
        suites=claim.suites,
    )
