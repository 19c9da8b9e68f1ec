"""How to pool over time: inside a network of clips, or over frames that are seen one by one.

python ablate.py run --config=configs/ablations/temporal_pooling.py --workdir=runs/temporal_pooling

On clips of which motion alone tells the class (configs/moving_fashion.py), in a training that is
too short to be perfect. Frames that are pooled without their order are a control: they cannot know.
"""

from cnn.ablation.plan import StudyPlan

# Along time; space is reduced by maxima in every arm.
OPERATORS = ("max", "avg", "blur", "strided_conv", "subsample", "none")
OVER_FRAMES = {
    "frames, avg": "avg",
    "frames, max": "max",
    "frames, attention without order": "attention(positions=False)",
    "frames, attention": "attention",
    "frames, side by side": "flatten",
}


def get_study() -> StudyPlan:
    """Returns the study."""
    arms = {name: (f"model.temporal_downsample={name}",) for name in OPERATORS}
    arms |= {
        name: ("model.name=plain", f"model.temporal_head={head}")
        for name, head in OVER_FRAMES.items()
    }
    return StudyPlan(
        name="Pooling over time, on images that move",
        config="configs/moving_fashion.py",
        shared=("train.duration=40 steps", "log.tensorboard=False"),
        arms=arms,
        baseline="max",
        seeds=range(10),
        margin=0.005,
    )
