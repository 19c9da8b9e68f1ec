"""The networks of `benchmarks/training.py` in PyTorch: the peer that it steps in turns with ours.

    PYTHON-WITH-TORCH benchmarks/torch_training.py --network=plain --batch=128

It says what it is in a line of JSON, and then makes a training step for every line of its input.
Eager mode, channels_last, float32, as many threads as cores; needs torch and nothing else.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peer import serve

CLASSES = 10
RATE, MOMENTUM, DECAY = 0.1, 0.9, 5e-4


def block(
    channels: int, features: int, strides: int = 1, *, groups: int = 1, window: int = 3
) -> nn.Sequential:
    """Convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, features, window, strides, window // 2, groups=groups, bias=False),
        nn.BatchNorm2d(features),
        nn.ReLU(),
    )


def classifier(features: int) -> nn.Module:
    """Mean over the places, and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, CLASSES))


def plain() -> nn.Module:
    """The plain block network."""
    layers, channels = [], 3
    for features in (32, 64, 128):
        layers += [block(channels, features), nn.MaxPool2d(2)]
        channels = features
    return nn.Sequential(*layers, classifier(channels))


class Residual(nn.Module):
    """A basic block with option A's shortcut."""

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.strides, self.wider = (1, 0) if channels == features else (2, features - channels)
        self.first = block(channels, features, self.strides)
        self.second = block(features, features)[:2]

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output."""
        shortcut = F.pad(x[:, :, :: self.strides, :: self.strides], (0, 0, 0, 0, 0, self.wider))
        return F.relu(self.second(self.first(x)) + shortcut)


def resnet20() -> nn.Module:
    """ResNet-20 with option A."""
    layers, channels = [block(3, 16)], 16
    for features in (16, 16, 16, 32, 32, 32, 64, 64, 64):
        layers.append(Residual(channels, features))
        channels = features
    return nn.Sequential(*layers, classifier(channels))


def separable() -> nn.Module:
    """Depthwise separable blocks, 32-64-128-128-256-256."""
    layers, channels = [block(3, 32)], 32
    for features, strides in zip((64, 128, 128, 256, 256), (1, 2, 1, 2, 1), strict=True):
        layers.append(block(channels, channels, strides, groups=channels))
        layers.append(block(channels, features, window=1))
        channels = features
    return nn.Sequential(*layers, classifier(channels))


NETWORKS = {"plain": plain, "resnet20": resnet20, "separable": separable}


def main() -> None:
    """Builds the network, says what it is, and makes steps."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--batch", type=int, required=True)
    flags = parser.parse_args()
    torch.manual_seed(0)
    model = NETWORKS[flags.network]().to(memory_format=torch.channels_last)
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, nesterov=True)
    images = torch.randn(flags.batch, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (flags.batch,))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    about = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(about), flush=True)
    serve(step)


if __name__ == "__main__":
    main()
