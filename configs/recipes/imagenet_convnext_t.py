"""ConvNeXt-T by the recipe of its authors (Liu et al., CVPR 2022, table 5).

    python train.py --config=configs/recipes/imagenet_convnext_t.py --workdir=runs/convnext_t

82.1 % top-1 accuracy as published, at 224 pixels; not trained here. AdamW, 300 epochs in batches of
4096, a learning rate of 4e-3 with 20 epochs of warm-up and cosine decay, weight decay 0.05,
RandAugment (9), mixup 0.8, CutMix 1.0, random erasing 0.25, label smoothing 0.1, stochastic depth
0.1, EMA of the weights with decay 0.9999. RandAugment's magnitude is fixed here; theirs has a
standard deviation of 0.5.
"""

from ml_collections import ConfigDict

from configs.recipes import imagenet


def get_config() -> ConfigDict:
    """Returns the config."""
    config = imagenet.get_config()
    config.data.interpolation = "bicubic"
    config.augment.extra = (
        "randaugment(operations=2, magnitude=9), "
        "random_erasing(probability=0.25, smallest=0.02, largest=0.33)"
    )
    config.augment.mixup = 0.8
    config.augment.cutmix = 1.0
    config.model.name = "convnext_t"
    config.model.padding = "torch"
    config.model.activation = "gelu_exact"
    config.model.stochastic_depth = 0.1
    config.train.duration = "300 epochs"
    config.train.batch_size = 4096
    config.train.label_smoothing = 0.1
    config.train.ema_decay = 0.9999
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 4e-3
    config.optimizer.scaling = "none"
    config.optimizer.weight_decay = 0.05
    config.schedule.warmup = "20 epochs"
    config.evaluation.every = "10 epochs"
    return config
