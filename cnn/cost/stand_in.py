"""The data of a config, or synthetic examples of the same shape if they are absent."""

from ml_collections import ConfigDict

from cnn import data, models
from cnn.config.errors import UserError

# ImageNet's; only the schedule depends on it.
_EXAMPLES = 1_281_167


def open_or_stand_in(config: ConfigDict) -> tuple[ConfigDict, data.Dataset, str]:
    """Opens the data of a config, or synthetic images of the same shape if they are absent.

    The shape is what `augment.sizes` (the largest), `data.image_size` and `data.channels` say, or
    else what the network was published for; classes are 1000 for networks published for ImageNet,
    and else 10.

    Returns:
      The config that reads the data set, the data set, and a sentence that says what it is.

    Raises:
      UserError: the data are not here, and are not images.
    """
    try:
        dataset, remark = data.open_dataset(config.data), ""
    except UserError as error:
        if config.data.signal != "image":
            raise
        remark = f"{str(error).partition(';')[0]}: planned for made-up "
        config = _stand_in(config)
        dataset = data.open_dataset(config.data)
    shape = "x".join(map(str, dataset.input_shape))
    return (
        config,
        dataset,
        f"{remark}{config.data.signal}s of {shape}, {dataset.num_classes} classes",
    )


def _stand_in(config: ConfigDict) -> ConfigDict:
    height, width, channels = models.MODELS.look_up(config.model.name, "model.name").input_shape
    size = max(config.augment.sizes, default=config.data.image_size)
    other = config.copy_and_resolve_references()
    with other.unlocked():
        section = other.data
        section.source, section.placement = "synthetic", "stream"
        section.train_split, section.test_split, section.validation = "train", "test", "0%"
        section.synthetic_shape = (size or height, size or width, section.channels or channels)
        section.synthetic_classes = 1000 if height >= 224 else 10
        section.synthetic_examples = (_EXAMPLES, 1)
        section.mean = section.mean or (0.5,) * section.synthetic_shape[-1]
        section.std = section.std or (0.5,) * section.synthetic_shape[-1]
        # Random parts of images of differing sizes are taken on the host.
        other.augment.random_resized_crop = ()
        other.augment.sizes = other.augment.size_boundaries = ()
    return other.lock()
