"""ResNet-20 (He et al., CVPR 2016) on CIFAR-10 with the paper's recipe.

    python train.py --config=configs/cifar10_resnet20.py --workdir=runs/resnet20 \
        --config.data.data_dir=/path/to/tensorflow_datasets

The paper: error 8.75 % after 64,000 steps at batch 128, learning rate 0.1 (0.2 per 256 examples),
divided by 10 at 32,000 and 48,000 steps, weight decay 1e-4, flips, and random crops with 4 pixels
of zero padding.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Returns the config."""
    config = base.get_config()
    config.data.name = "cifar10"
    config.data.validation = "5000 examples"
    config.augment.flip = True
    config.augment.pad = 4
    config.model.name = "resnet20"
    config.train.duration = "64000 steps"
    config.optimizer.learning_rate = 0.2
    config.optimizer.nesterov = False
    config.optimizer.weight_decay = 1e-4
    config.schedule.name = "step"
    config.schedule.boundaries = ("50%", "75%")
    config.evaluation.every = "2 epochs"
    config.checkpoint.every = "2 epochs"
    config.log.every = "100 steps"
    return config
