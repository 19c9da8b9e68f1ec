"""Official archives as data sets: names, versions, keys and orders are those of TFDS.

A module for each family; importing the package registers them.
"""

from cnn.data.prepare.builders import cifar, imagenet, mnist, speech_commands, svhn
from cnn.data.prepare.builders.builder import BUILDERS, Builder

__all__ = ["BUILDERS", "Builder", "cifar", "imagenet", "mnist", "speech_commands", "svhn"]
