"""The plain block network on the included subset of Fashion-MNIST: the first run.

make train
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Returns the config."""
    config = base.get_config()
    config.data.name = "fashion_mnist_10k"
    config.data.data_dir = "data"
    config.data.validation = "5%"
    config.augment.flip = True
    config.model.name = "plain"
    config.train.duration = "12 epochs"
    config.train.batch_size = 64
    config.optimizer.learning_rate = 0.4
    config.schedule.warmup = "10%"
    return config
