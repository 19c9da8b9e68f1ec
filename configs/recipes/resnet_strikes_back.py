"""ResNet-50 by the procedures of "ResNet strikes back" (Wightman, Touvron and Jegou 2021).

    python train.py --config=configs/recipes/resnet_strikes_back.py:a2 --workdir=runs/a2

    a1: 600 epochs, 80.4 %; a2: 300 epochs, 79.8 %; a3: 100 epochs at 160 pixels, 78.1 %

Top-1 accuracy on ImageNet's validation split at 224 pixels, as published (table 2, as are the
hyperparameters); not trained here. Two things differ: the targets of the binary cross-entropy are
the mixed and smoothed ones (theirs count every class of a mixture as present), and RandAugment's
magnitude is fixed (theirs has a standard deviation of 0.5).
"""

from ml_collections import ConfigDict

from cnn.config.errors import UserError
from configs.recipes import imagenet

_A1 = {
    "train.duration": "600 epochs",
    "optimizer.learning_rate": 5e-3,
    "optimizer.weight_decay": 0.01,
    "train.label_smoothing": 0.1,
    "augment.mixup": 0.2,
    "augment.repeats": 3,
    "augment.extra": "randaugment(operations=2, magnitude=7)",
    "model.stochastic_depth": 0.05,
}
_A2 = _A1 | {
    "train.duration": "300 epochs",
    "optimizer.weight_decay": 0.02,
    "train.label_smoothing": 0.0,
    "augment.mixup": 0.1,
}
_A3 = {
    "train.duration": "100 epochs",
    "optimizer.learning_rate": 8e-3,
    "optimizer.weight_decay": 0.02,
    "augment.mixup": 0.1,
    "augment.extra": "randaugment(operations=2, magnitude=6)",
    "augment.sizes": (160,),
}
PROCEDURES = {"a1": _A1, "a2": _A2, "a3": _A3}


def get_config(procedure: str = "a2") -> ConfigDict:
    """Returns the config of a procedure."""
    if procedure not in PROCEDURES:
        raise UserError(f"--config: unknown procedure '{procedure}'; allowed: a1, a2, a3")
    config = imagenet.get_config()
    # Resize(int(224 / 0.95)), as timm evaluates them.
    config.data.crop_ratio = 224 / 235
    config.data.interpolation = "bicubic"
    config.augment.cutmix = 1.0
    config.model.name = "resnet50"
    config.train.batch_size = 2048
    config.train.loss = "binary_cross_entropy"
    config.optimizer.name = "lamb"
    config.optimizer.scaling = "none"
    config.schedule.warmup = "5 epochs"
    config.evaluation.every = "10 epochs"
    config.update_from_flattened_dict(PROCEDURES[procedure])
    return config
