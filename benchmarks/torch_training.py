"""The networks of `benchmarks/training.py` in PyTorch: the peer that it steps in turns with ours.

    PYTHON-WITH-TORCH benchmarks/torch_training.py --network=plain --batch=128

It says what it is in a line of JSON, and then makes a training step for every line of its input:
eager, channels_last, float32, as many threads as cores. With `--accelerated` on the GPU, if there
is one, with bfloat16 autocast and `torch.compile`. It needs torch.
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


def classifier(features: int, classes: int) -> nn.Module:
    """Mean over the places, and a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, classes))


def plain(classes: int) -> nn.Module:
    """The plain block network."""
    layers, channels = [], 3
    for features in (32, 64, 128):
        layers += [block(channels, features), nn.MaxPool2d(2)]
        channels = features
    return nn.Sequential(*layers, classifier(channels, classes))


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


def resnet20(classes: int) -> nn.Module:
    """ResNet-20 with option A."""
    layers, channels = [block(3, 16)], 16
    for features in (16, 16, 16, 32, 32, 32, 64, 64, 64):
        layers.append(Residual(channels, features))
        channels = features
    return nn.Sequential(*layers, classifier(channels, classes))


def separable(classes: int) -> nn.Module:
    """Depthwise separable blocks, 32-64-128-128-256-256."""
    layers, channels = [block(3, 32)], 32
    for features, strides in zip((64, 128, 128, 256, 256), (1, 2, 1, 2, 1), strict=True):
        layers.append(block(channels, channels, strides, groups=channels))
        layers.append(block(channels, features, window=1))
        channels = features
    return nn.Sequential(*layers, classifier(channels, classes))


class Bottleneck(nn.Module):
    """ResNet v1.5's block: the 3x3 convolution has the strides."""

    def __init__(self, channels: int, inner: int, strides: int):
        super().__init__()
        features = 4 * inner
        self.branch = nn.Sequential(
            block(channels, inner, window=1),
            block(inner, inner, strides),
            block(inner, features, window=1)[:2],
        )
        same = channels == features and strides == 1
        self.shortcut = nn.Identity() if same else block(channels, features, strides, window=1)[:2]

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's output."""
        return F.relu(self.branch(x) + self.shortcut(x))


def resnet50(classes: int) -> nn.Module:
    """ResNet-50 v1.5 with ImageNet's stem."""
    layers, channels = [block(3, 64, 2, window=7), nn.MaxPool2d(3, 2, 1)], 64
    for stage, depth in enumerate((3, 4, 6, 3)):
        for i in range(depth):
            inner = 64 * 2**stage
            layers.append(Bottleneck(channels, inner, 2 if i == 0 < stage else 1))
            channels = 4 * inner
    return nn.Sequential(*layers, classifier(channels, classes))


NETWORKS = {"plain": plain, "resnet20": resnet20, "separable": separable, "resnet50": resnet50}


def main() -> None:
    """Builds the network, says what it is, and makes steps."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--image", type=int, default=32, help="pixels of a side")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--accelerated", action="store_true")
    flags = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if flags.accelerated and torch.cuda.is_available() else "cpu"
    model = NETWORKS[flags.network](flags.classes).to(device, memory_format=torch.channels_last)
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, nesterov=True)
    images = torch.randn(flags.batch, 3, flags.image, flags.image)
    images = images.to(device, memory_format=torch.channels_last)
    labels = torch.randint(0, flags.classes, (flags.batch,), device=device)
    apply = torch.compile(model) if flags.accelerated else model

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=flags.accelerated):
            loss = F.cross_entropy(apply(images), labels)
        loss.backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    about = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(about), flush=True)
    serve(step)


if __name__ == "__main__":
    main()
