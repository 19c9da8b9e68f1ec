"""What the ready-made studies share: short training runs on the included images."""

CONFIG = "configs/fashion_mnist_10k.py"
SHORT = (
    "train.batch_size=64",
    "train.duration=6 epochs",
    "evaluation.every=2 epochs",
    "checkpoint.every=2 epochs",
    "log.trackers=",
)
SEEDS = range(10)
MARGIN = 0.5
