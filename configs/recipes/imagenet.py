"""What the recipes for ImageNet share; a base to train from, not a recipe by itself.

    python train.py --config=configs/recipes/RECIPE.py --workdir=runs/imagenet \
        --config.data.data_dir=/path/to/tensorflow_datasets

The data set is TFDS' imagenet2012 (`python -m cnn.data prepare imagenet`); its validation split is
the test split. For class folders: data.source=folder, data.path=DIR, data.train_split=train and
data.test_split=val.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Returns the config."""
    config = base.get_config()
    config.data.name = "imagenet2012"
    config.data.test_split = "validation"
    config.data.image_size = 224
    config.data.crop_ratio = 224 / 256
    config.data.interpolation = "bilinear"
    config.data.channels = 3
    config.data.mean = (0.485, 0.456, 0.406)
    config.data.std = (0.229, 0.224, 0.225)
    config.data.workers = 16
    config.augment.random_resized_crop = (0.08, 1.0)
    config.augment.flip = True
    config.model.dtype = "bfloat16"
    config.log.every = "100 steps"
    return config
