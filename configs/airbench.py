"""A small network that learns CIFAR-10 in ten epochs, after airbench94 (Jordan 2024).

    python train.py --config=configs/airbench.py --workdir=runs/airbench \
        --config.data.data_dir=/path/to/tensorflow_datasets

As published: batch size 1024, label smoothing 0.2, random crops with two pixels of reflect padding,
every image mirrored in every other epoch, a frozen first layer that whitens the patches of 5,000
training images, convolutions initialised to the identity, norms whose scales stay 1 and whose
biases learn at 64 times the rate, lookahead every five steps with a cubic ramp, a triangular
learning rate that peaks at 23 % of training and ends at 7 % of the peak, logits averaged over six
views of each test image, and, converted from summed to mean losses, Nesterov momentum 0.85 with a
peak rate of 1.5 (11.5 / (1 + 1 / 0.15)) and a weight decay of 1.33e-3 (0.0153 / 11.5).

Differences: bfloat16 instead of float16; the whitening layer's bias starts at 0 and is trained to
the end rather than for three epochs; biases of norms are not decayed; a batch may span two epochs,
whereas the authors drop the last 848 images of each.
Its accuracy over several seeds, in float32 on a CPU, is in the README; in bfloat16 it has not been
run to its end.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Returns the config."""
    config = base.get_config()
    config.data.name = "cifar10"
    config.init_whitening = 5000
    config.augment.flip = True
    config.augment.alternate = True
    config.augment.pad = 2
    config.augment.pad_mode = "reflect"
    config.model.name = "airbench"
    config.model.norm_momentum = 0.6
    config.model.norm_epsilon = 1e-12
    config.model.dtype = "bfloat16"
    config.train.duration = "9.9 epochs"
    config.train.batch_size = 1024
    config.train.label_smoothing = 0.2
    config.train.ema_decay = 0.95
    config.train.ema_ramp = "cubic"
    config.train.lookahead = 5
    config.optimizer.learning_rate = 0.375
    config.optimizer.momentum = 0.85
    config.optimizer.weight_decay = 1.33e-3
    config.optimizer.groups = (
        "whitening/kernel: rate=0 weight_decay=0",
        "norm\\d/scale: rate=0",
        "norm\\d/bias: rate=64",
    )
    config.schedule.name = "linear"
    config.schedule.warmup = "23%"
    config.schedule.final = 0.07
    config.evaluation.batch_size = 2000
    config.evaluation.tta = "mirror_translate"
    return config
