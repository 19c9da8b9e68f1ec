"""Springenberg et al., ICLR-W 2015, table 1: three networks, each with four reductions.

    python ablate.py run --config=configs/ablations/allcnn.py --workdir=runs/allcnn

The networks have the paper's widths, and so need a GPU. The paper trains on CIFAR-10, 350 epochs:
`--config.data.name=cifar10 --config.data.data_dir=DIR "--config.train.duration=350 epochs"`.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from configs.ablations.short import CONFIG, MARGIN, SEEDS, SHORT

FORMS = {
    "base": "max(window=3)",
    "strided": "strided_conv",
    "conv pool": "conv_pool(window=3, pool=3)",
    "all conv": "all_conv(window=3)",
}


def get_study() -> StudyPlan:
    """Returns the study."""
    return StudyPlan(
        name="Striving for simplicity, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        # Without norms a rate of 0.4 per 256 examples is too high.
        shared=(*SHORT, "optimizer.learning_rate=0.1", "model.dropout=0.5"),
        networks={letter.upper(): (f"model.name=all_cnn_{letter}",) for letter in "abc"},
        arms={name: (f"model.downsample={text}",) for name, text in FORMS.items()},
        baseline="base",
        seeds=SEEDS,
        margin=MARGIN,
    )
