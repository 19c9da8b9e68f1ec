"""Networks as the PyTorch repositories for CIFAR-10 build and name them; for golden_weights.py."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Basic block of CIFAR ResNets, with either shortcut."""

    def __init__(self, inputs: int, width: int, stride: int, shortcut: str, name: str):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.padded = stride, width // 4
        changes = stride > 1 or inputs != width
        self.around = name if changes and shortcut == "projection" else shortcut
        if self.around == name:
            conv = nn.Conv2d(inputs, width, 1, stride, bias=False)
            setattr(self, name, nn.Sequential(conv, nn.BatchNorm2d(width)))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the output `[B, C, H, W]`."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if hasattr(self, self.around):
            x = getattr(self, self.around)(x)
        elif self.stride > 1:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padded, self.padded))
        return functional.relu(y + x)


class ResNet(nn.Module):
    """ResNet for CIFAR-10 with two blocks per stage."""

    def __init__(
        self, widths: Sequence[int], shortcut: str, name: str, classifier: str, classes: int
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before, self.classifier, self.stages = widths[0], classifier, len(widths)
        for stage, width in enumerate(widths, 1):
            first = Block(before, width, 1 if stage == 1 else 2, shortcut, name)
            second = Block(width, width, 1, shortcut, name)
            setattr(self, f"layer{stage}", nn.Sequential(first, second))
            before = width
        setattr(self, classifier, nn.Linear(before, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits `[B, classes]`."""
        x = functional.relu(self.bn1(self.conv1(x)))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return getattr(self, self.classifier)(x.mean((2, 3)))


class WideBlock(nn.Module):
    """Pre-activation block of wide ResNets."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        if inputs != width:
            self.convShortcut = nn.Conv2d(inputs, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the output `[B, C, H, W]`."""
        y = functional.relu(self.bn1(x))
        around = self.convShortcut(y) if hasattr(self, "convShortcut") else x
        return around + self.conv2(functional.relu(self.bn2(self.conv1(y))))


class WideResNet(nn.Module):
    """Wide ResNet with two blocks per stage."""

    def __init__(self, widths: Sequence[int], classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        before = 16
        for stage, width in enumerate(widths, 1):
            layer = nn.Sequential(
                WideBlock(before, width, 1 if stage == 1 else 2), WideBlock(width, width, 1)
            )
            setattr(self, f"block{stage}", nn.ModuleDict({"layer": layer}))
            before = width
        self.bn1, self.fc = nn.BatchNorm2d(before), nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits `[B, classes]`."""
        x = self.conv1(x)
        for stage in (self.block1, self.block2, self.block3):
            x = stage["layer"](x)
        return self.fc(functional.relu(self.bn1(x)).mean((2, 3)))


class Vgg(nn.Module):
    """VGG-11 with batch norm, narrowed."""

    def __init__(self, classifier: nn.Module):
        super().__init__()
        layers, inputs = [], 3
        for width in (8, "M", 8, "M", 12, 12, "M", 12, 12, "M", 16, 16, "M"):
            if width == "M":
                layers.append(nn.MaxPool2d(2, 2))
                continue
            conv = nn.Conv2d(inputs, width, 3, padding=1)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        self.features, self.classifier = nn.Sequential(*layers), classifier

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits `[B, classes]`."""
        return self.classifier(self.features(x).flatten(1))


class AllConvolutional(nn.Module):
    """All-CNN-C."""

    def __init__(self, classes: int):
        super().__init__()
        widths = (3, 96, 96, 96, 192, 192, 192, 192, 192)
        for i in range(1, 9):
            window, stride = 1 if i == 8 else 3, 2 if i in (3, 6) else 1
            padding = 1 if i < 7 else 0
            conv = nn.Conv2d(widths[i - 1], widths[i], window, stride, padding)
            setattr(self, f"conv{i}", conv)
        self.class_conv = nn.Conv2d(192, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits `[B, classes]`."""
        for i in range(1, 9):
            x = functional.relu(getattr(self, f"conv{i}")(x))
        return self.class_conv(x).mean((2, 3))
