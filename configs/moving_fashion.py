"""Motion and nothing else: Fashion-MNIST images that go left or right, slowly or fast.

python train.py --config=configs/moving_fashion.py --workdir=runs/moving
python train.py --config=configs/moving_fashion.py:frames --workdir=runs/moving_frames

The first is a small network of 3x3x3 convolutions. The second processes each frame separately and
pools over frames: a control that cannot see their order and so stays at chance, one in four.
"""

from ml_collections import ConfigDict

from cnn.config.errors import UserError
from configs import base


def get_config(network: str = "clips") -> ConfigDict:
    """Returns the config of the network over "clips", or of the one over "frames"."""
    config = base.get_config()
    config.data.signal = "video"
    config.data.source = "moving"
    config.data.name = "fashion_mnist_10k"
    config.data.data_dir = "data"
    config.data.validation = "5%"
    config.data.image_size = 16
    config.data.video.frames = 16
    if network not in ("clips", "frames"):
        raise UserError(f"configs/moving_fashion.py: unknown '{network}'; allowed: clips, frames")
    if network == "clips":
        config.model.name = "plain3d"
    else:
        config.model.name = "plain"
        config.model.temporal_head = "avg"
    config.model.features = (8, 16, 32)
    config.train.duration = "100 steps"
    config.train.batch_size = 64
    config.optimizer.learning_rate = 0.2
    config.schedule.warmup = "10%"
    return config
