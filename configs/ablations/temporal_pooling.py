"""How to pool over time: inside a video network, or over frames that are processed one by one.

python ablate.py run --config=configs/ablations/temporal_pooling.py --workdir=runs/temporal_pooling

On clips whose class is given by the motion alone (configs/moving_fashion.py), trained too briefly
for perfect accuracy. Frames pooled without their order are a control: they cannot tell the classes.
`temporal_pooling.py:small` takes minutes: clips of half the frames, a quarter of the steps, three
seeds, five arms.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.errors import UserError

# Along time; space is reduced by maxima in every arm.
OPERATORS = ("max", "avg", "blur", "strided_conv", "subsample", "none")
OVER_FRAMES = {
    "frames, avg": "avg",
    "frames, max": "max",
    "frames, attention without order": "attention(positions=False)",
    "frames, attention": "attention",
    "frames, side by side": "flatten",
}


SMALL = ("max", "avg", "subsample", "frames, avg", "frames, attention")


def get_study(size: str = "") -> StudyPlan:
    """Returns the study, or that of size "small"."""
    if size not in ("", "small"):
        raise UserError(f"--config: unknown '{size}'; allowed: small, or nothing")
    arms = {name: (f"model.temporal_downsample={name}",) for name in OPERATORS}
    arms |= {
        name: ("model.name=plain", f"model.temporal_head={head}")
        for name, head in OVER_FRAMES.items()
    }
    if size:
        return StudyPlan(
            name="Pooling over time, on images that move, clips of 8 frames",
            config="configs/moving_fashion.py",
            shared=("data.video.frames=8", "train.duration=10 steps", "log.trackers="),
            arms={name: arms[name] for name in SMALL},
            baseline="max",
            seeds=range(3),
            margin=0.5,
            repeat_baseline=False,
        )
    return StudyPlan(
        name="Pooling over time, on images that move",
        config="configs/moving_fashion.py",
        shared=("train.duration=40 steps", "log.trackers="),
        arms=arms,
        baseline="max",
        seeds=range(10),
        margin=0.5,
    )
