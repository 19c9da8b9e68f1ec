"""Pooling, strided convolution or a shift-consistent operator? On one of three networks.

    python ablate.py run --config=configs/ablations/pooling.py --workdir=runs/pooling

The argument names the network: `pooling.py:plain` (the default), `pooling.py:vgg11` or
`pooling.py:resnet20`. The plain block network has 16, 32 and 64 channels. VGG has a quarter of its
widths, batch norm, without which it learns nothing in so few epochs, and no fifth stage, for which
the images are too small. ResNet-20 is as published. `ablate.py plan` estimates the time of each.
"""

from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.errors import UserError, did_you_mean
from configs.ablations.short import CONFIG, MARGIN, SEEDS, SHORT

NETWORKS = {
    "plain": ("model.features=16,32,64",),
    "vgg11": (
        "model.name=vgg11_bn",
        "model.features=16,32,64,128",
        "model.depths=1,1,2,2",
        "model.head=avg",
    ),
    "resnet20": ("model.name=resnet20",),
}
OPERATORS = {
    "max": "max",
    "average": "avg",
    "strided conv": "strided_conv",
    "conv pool": "conv_pool",
    "max blur": "max_blur(taps=4)",
    "APS": "aps",
}


def get_study(network: str = "plain") -> StudyPlan:
    """Returns the study on one network."""
    if network not in NETWORKS:
        raise UserError(f"--config: unknown network '{network}': {did_you_mean(network, NETWORKS)}")
    arms = {name: (f"model.downsample={text}",) for name, text in OPERATORS.items()}
    if network == "resnet20":
        # The shortcut must pick the same component as the main path.
        arms["APS"] = (*arms["APS"], "model.shortcut_downsample=aps")
    return StudyPlan(
        name=f"Downsampling in {network}, on 10,000 images of Fashion-MNIST",
        config=CONFIG,
        shared=(*SHORT, *NETWORKS[network]),
        arms=arms,
        baseline="strided conv" if network == "resnet20" else "max",
        seeds=SEEDS,
        margin=MARGIN,
    )
