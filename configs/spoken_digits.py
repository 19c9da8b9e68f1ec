"""A residual network on log-mel spectrograms of spoken digits, 8 kHz, six speakers.

    python train.py --config=configs/spoken_digits.py --workdir=runs/spoken_digits

The folder of class folders (Free Spoken Digit Dataset: DIGIT/SPEAKER_INDEX.wav) is expected beside
the repository, in ../shared/spoken_digits; otherwise set data.path. The test split is the data
set's own, recordings 0 to 4 of each digit by each speaker. `spoken_digits.py:speakers` trains on
four speakers and tests on two others, theo and yweweler, as a measure of accuracy on new speakers.
"""

from ml_collections import ConfigDict

from cnn.config.errors import UserError, did_you_mean
from configs import base

SPLITS = {
    "recordings": (r". ~ _([5-9]|[1-4]\d)\.wav$", r". ~ _[0-4]\.wav$"),
    "speakers": (r". ~ /(george|jackson|lucas|nicolas)_", r". ~ /(theo|yweweler)_"),
}


def get_config(split: str = "recordings") -> ConfigDict:
    """Returns the config of one way to split the recordings."""
    if split not in SPLITS:
        raise UserError(f"--config: unknown split '{split}': {did_you_mean(split, SPLITS)}")
    config = base.get_config()
    data, sound = config.data, config.data.sound
    data.signal = "sound"
    data.source = "folder"
    data.path = "../shared/spoken_digits"
    data.train_split, data.test_split = SPLITS[split]
    sound.rate = 8000
    sound.fft = 256
    sound.hop = 160
    sound.bands = 32
    sound.floor = 1e-6
    # Speakers differ in loudness and background noise; these two settings reduce the effect.
    sound.dynamic_range = 40.0
    sound.normalize = "clip"
    config.augment.time_shift = 0.1
    config.augment.time_masks = (1, 6)
    config.augment.band_masks = (1, 4)
    config.model.name = "resnet20"
    config.model.features = (16, 32, 64)
    config.model.depths = (1, 1, 1)
    config.train.duration = "10 epochs"
    config.train.batch_size = 64
    config.optimizer.learning_rate = 0.4
    config.schedule.warmup = "10%"
    config.checkpoint.every = "5 epochs"
    return config
