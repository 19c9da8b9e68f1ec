"""Pooling or strided convolution? The plain block network, on the embedded images.

python ablate.py run --config=configs/ablations/pooling.py --workdir=runs/pooling
"""

from cnn.ablation.plan import StudyPlan

SHORT = (
    "model.features=16,32,64",
    "train.batch_size=64",
    "train.duration=4 epochs",
    "evaluation.every=1 epochs",
    "log.tensorboard=False",
)


def get_study() -> StudyPlan:
    """Returns the study."""
    operators = {
        "max": "max",
        "average": "avg",
        "strided conv": "strided_conv",
        "conv pool": "conv_pool",
        "max blur": "max_blur(taps=4)",
        "APS": "aps",
    }
    return StudyPlan(
        name="Downsampling in the plain block network, on 10,000 images of Fashion-MNIST",
        config="configs/fashion_mnist_10k.py",
        shared=SHORT,
        arms={name: (f"model.downsample={text}",) for name, text in operators.items()},
        baseline="max",
        seeds=range(10),
        margin=0.005,
    )
