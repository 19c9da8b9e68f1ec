"""VGG-16 with batch norm by the recipe of torchvision's weights (references/classification).

    python train.py --config=configs/recipes/imagenet_vgg16_bn.py --workdir=runs/vgg16_bn

73.36 % top-1 accuracy as published (IMAGENET1K_V1); not trained here. SGD, 90 epochs in batches of
256, a learning rate of 0.01 multiplied by 0.1 every 30 epochs, weight decay 1e-4, dropout 0.5 in
the head. As everywhere here, weight decay excludes norms and biases; torchvision applies it to them
too.
"""

from ml_collections import ConfigDict

from configs.recipes import imagenet


def get_config() -> ConfigDict:
    """Returns the config."""
    config = imagenet.get_config()
    config.model.name = "vgg16_bn"
    config.model.padding = "torch"
    config.model.head = "flatten(hidden=(4096, 4096), grid=7)"
    config.model.dropout = 0.5
    config.train.duration = "90 epochs"
    config.train.batch_size = 256
    config.optimizer.learning_rate = 0.01
    config.optimizer.nesterov = False
    config.optimizer.weight_decay = 1e-4
    config.schedule.name = "step"
    config.schedule.boundaries = ("30 epochs", "60 epochs")
    return config
