"""A small network that learns CIFAR-10 in ten passes, after airbench94 (Jordan 2024).

    python train.py --config=configs/airbench.py --workdir=runs/airbench \
        --config.data.data_dir=/path/to/tensorflow_datasets

As published: batch 1024, label smoothing 0.2, crops from two mirrored pixels, a triangular rate
that peaks at 23 % and ends at 7 %, and, translated from its form for summed losses, Nesterov
momentum 0.85 with a peak rate of 1.5 (11.5 / (1 + 1 / 0.15)) and a weight decay of 1.33e-3
(0.0153 / 11.5). Its averaging of the weights is an exponential one here. It also whitens its first
layer by the training images, mirrors every image in every other pass, trains its norms' biases at
64 times the rate and averages predictions over mirrored and moved images; none of this is done
here, so its accuracy is not to be expected in as many passes.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Returns the config."""
    config = base.get_config()
    config.data.name = "cifar10"
    config.augment.flip = True
    config.augment.pad = 2
    config.augment.pad_mode = "reflect"
    config.model.name = "airbench"
    config.model.norm_momentum = 0.6
    config.model.norm_epsilon = 1e-12
    config.model.dtype = "bfloat16"
    config.train.duration = "10 epochs"
    config.train.batch_size = 1024
    config.train.label_smoothing = 0.2
    config.train.ema_decay = 0.95
    config.optimizer.learning_rate = 0.375
    config.optimizer.momentum = 0.85
    config.optimizer.weight_decay = 1.33e-3
    config.schedule.name = "linear"
    config.schedule.warmup = "23%"
    config.schedule.final = 0.07
    config.evaluation.batch_size = 2000
    return config
