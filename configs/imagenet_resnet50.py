"""ResNet-50 (with the strides in the 3x3 convolutions) on ImageNet, 90 epochs.

    python train.py --config=configs/imagenet_resnet50.py --workdir=runs/imagenet \
        --config.data.data_dir=/path/to/tensorflow_datasets

The recipe of Goyal et al. (2017): a learning rate of 0.1 per 256 images with five epochs of
warm-up, batch norm statistics over groups of 64 images whatever the batch size, and the last norm
of each residual branch initialised to zero; but with a cosine schedule instead of steps, and label
smoothing. The data set's own validation split is the test split. It has never been run here, for
lack of ImageNet; for its cost on a TPU slice, run
`python -m cnn.cost.plan --config=configs/imagenet_resnet50.py --topology=v5e:4x4`.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Returns the config."""
    config = base.get_config()
    config.data.name = "imagenet2012"
    config.data.test_split = "validation"
    config.data.validation = "10000 examples"
    config.data.image_size = 224
    config.data.crop_ratio = 0.875
    config.data.channels = 3
    config.data.mean = (0.485, 0.456, 0.406)
    config.data.std = (0.229, 0.224, 0.225)
    config.data.workers = 16
    config.augment.random_resized_crop = (0.08, 1.0)
    config.augment.flip = True
    config.model.name = "resnet50"
    config.model.ghost_batch = 64
    config.model.zero_scale = True
    config.model.dtype = "bfloat16"
    config.train.duration = "90 epochs"
    config.train.batch_size = 1024
    config.train.label_smoothing = 0.1
    config.optimizer.weight_decay = 1e-4
    config.schedule.warmup = "5 epochs"
    config.evaluation.every = "2 epochs"
    config.checkpoint.every = "1 epochs"
    config.log.every = "100 steps"
    return config
