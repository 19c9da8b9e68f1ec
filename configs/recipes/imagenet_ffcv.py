"""ResNet-50 in 16 epochs with progressive resizing, after ffcv-imagenet (Leclerc et al. 2022).

    python train.py --config=configs/recipes/imagenet_ffcv.py --workdir=runs/ffcv

73.8 % top-1 accuracy as published (rn50_16_epochs: 160 pixels for twelve epochs, then 192,
evaluated at 256, averaging over each image and its mirror image); not trained here.
Batches of 512 on each of eight GPUs, SGD with a learning rate that rises to 1.7 in two epochs and
then falls linearly to zero, and a binomial filter before every strided convolution after the stem.
"""

from ml_collections import ConfigDict

from configs.recipes import imagenet


def get_config() -> ConfigDict:
    """Returns the config."""
    config = imagenet.get_config()
    config.data.image_size = 256
    config.augment.sizes = (160, 192)
    config.augment.size_boundaries = ("12 epochs",)
    config.model.name = "resnet50"
    config.model.padding = "torch"
    config.model.downsample = "blur_conv(taps=3, dialect='ffcv')"
    config.model.shortcut_downsample = "blur_conv(taps=3, dialect='ffcv')"
    config.model.ghost_batch = 512
    config.train.duration = "16 epochs"
    config.train.batch_size = 4096
    config.train.label_smoothing = 0.1
    config.optimizer.learning_rate = 1.7
    config.optimizer.scaling = "none"
    config.optimizer.nesterov = False
    config.optimizer.weight_decay = 1e-4
    config.schedule.name = "linear"
    config.schedule.warmup = "2 epochs"
    config.evaluation.tta = "mirror"
    return config
