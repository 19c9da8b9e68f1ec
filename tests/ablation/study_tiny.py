"""A study of seconds: three arms, one of which cannot be trained."""

from cnn.ablation.planning.study_plan import StudyPlan
from tests.conftest import TINY


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Tiny <study> & co",
        config="configs/base.py",
        shared=(*TINY, "evaluation.every=6 steps", "checkpoint.every=6 steps"),
        arms={
            "max": (),
            "strided": ("model.downsample=strided_conv",),
            "diverges": ("optimizer.learning_rate=1e30", "schedule.name=constant"),
        },
        baseline="max",
        seeds=range(3),
        margin=1.0,
    )
