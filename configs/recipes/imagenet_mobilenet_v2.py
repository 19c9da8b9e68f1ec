"""MobileNetV2 by the recipe of torchvision's first weights (references/classification).

    python train.py --config=configs/recipes/imagenet_mobilenet_v2.py --workdir=runs/mobilenet_v2

71.878 % top-1 accuracy as published (IMAGENET1K_V1); not trained here. SGD, 300 epochs in batches
of 256, a learning rate of 0.045 multiplied by 0.98 each epoch, weight decay 4e-5. As everywhere
here, weight decay excludes norms and biases; torchvision applies it to them too.
"""

from ml_collections import ConfigDict

from configs.recipes import imagenet


def get_config() -> ConfigDict:
    """Returns the config."""
    config = imagenet.get_config()
    config.model.name = "mobilenet_v2"
    config.model.padding = "torch"
    config.model.dropout = 0.2
    config.train.duration = "300 epochs"
    config.train.batch_size = 256
    config.optimizer.learning_rate = 0.045
    config.optimizer.nesterov = False
    config.optimizer.weight_decay = 4e-5
    config.schedule.name = "step"
    config.schedule.boundaries = tuple(f"{epoch} epochs" for epoch in range(1, 300))
    config.schedule.factor = 0.98
    config.evaluation.every = "10 epochs"
    return config
