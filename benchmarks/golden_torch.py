"""Writes tests/golden/torch.npz: what PyTorch computes with fixed weights.

    pip install torch==2.13.0 && python benchmarks/golden_torch.py

The tests compare our layers, in the padding mode `torch`, with the file, so PyTorch is needed for
writing it only. Arrays are in our layouts: images [B, H, W, C], kernels [H, W, in, out].
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

FILE = Path(__file__).parents[1] / "tests" / "golden" / "torch.npz"


def images(x: torch.Tensor) -> np.ndarray:
    """Returns `[B, C, H, W]` as `[B, H, W, C]`."""
    return x.detach().permute(0, 2, 3, 1).numpy()


def kernel(conv: nn.Conv2d) -> np.ndarray:
    """Returns a kernel `[out, in, H, W]` as `[H, W, in, out]`."""
    return conv.weight.detach().permute(2, 3, 1, 0).numpy()


def norm(prefix: str, layer: nn.BatchNorm2d) -> dict[str, np.ndarray]:
    """Returns scale and bias after giving them other values than one and zero."""
    with torch.no_grad():
        layer.weight.uniform_(0.5, 1.5)
        layer.bias.uniform_(-0.5, 0.5)
    return {f"{prefix}/scale": layer.weight.detach(), f"{prefix}/bias": layer.bias.detach()}


def convolutions() -> dict[str, np.ndarray]:
    """Convolutions of several windows, strides, groups and dilations, and pooling."""
    x = torch.randn(2, 4, 9, 8)
    found = {"x": images(x)}
    for name, window, stride, groups, dilation in (
        ("conv3_s1", 3, 1, 1, 1),
        ("conv3_s2", 3, 2, 1, 1),
        ("conv7_s2", 7, 2, 1, 1),
        ("conv3_g2", 3, 1, 2, 1),
        ("conv3_depthwise", 3, 2, 4, 1),
        ("conv3_dilated", 3, 1, 1, 2),
    ):
        padding = dilation * (window - 1) // 2
        conv = nn.Conv2d(4, 4, window, stride, padding, dilation, groups, bias=False)
        found |= {f"{name}/kernel": kernel(conv), f"{name}/y": images(conv(x))}
    for name, pool in (
        ("max2", nn.MaxPool2d(2)),
        ("max3", nn.MaxPool2d(3, 2, 1)),
        ("avg2", nn.AvgPool2d(2)),
        ("avg3", nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
        ("avg3_counted", nn.AvgPool2d(3, 2, 1)),
        ("lp2", nn.LPPool2d(2, 2)),
    ):
        found[f"{name}/y"] = images(pool(x))
    return found


def batch_norm() -> dict[str, np.ndarray]:
    """Batch normalisation in training and in evaluation; 0.1 in PyTorch is our momentum 0.9."""
    layer = nn.BatchNorm2d(4)
    x = torch.randn(6, 4, 3, 3) * 2 + 1
    found = norm("norm", layer) | {"x": images(x), "train": images(layer(x))}
    found |= {"mean": layer.running_mean.clone(), "unbiased_var": layer.running_var.clone()}
    return found | {"evaluation": images(layer.eval()(x))}


class Block(nn.Module):
    """A residual block of torchvision: convolutions with norms, and a projection."""

    def __init__(self, windows: tuple[int, ...], strided: int, features: int, expansion: int):
        super().__init__()
        widths = [6] + [features] * (len(windows) - 1) + [features * expansion]
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for i, window in enumerate(windows):
            stride = 2 if i == strided else 1
            padding = window // 2
            conv = nn.Conv2d(widths[i], widths[i + 1], window, stride, padding, bias=False)
            self.convs.append(conv)
            self.norms.append(nn.BatchNorm2d(widths[i + 1]))
        self.projection = nn.Conv2d(6, widths[-1], 1, 2, bias=False)
        self.projection_norm = nn.BatchNorm2d(widths[-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Computes the block."""
        y = x
        for i, (conv, bn) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = bn(conv(y))
            y = torch.relu(y) if i < len(self.convs) - 1 else y
        return torch.relu(y + self.projection_norm(self.projection(x)))


def block(*form: object) -> dict[str, np.ndarray]:
    """A block's parameters under our names, its output, and gradients of sum(y**2)."""
    module = Block(*form)
    x = torch.randn(3, 6, 8, 8, requires_grad=True)
    found = {}
    for i, (conv, bn) in enumerate(zip(module.convs, module.norms, strict=True), 1):
        found[f"params/conv{i}/block/conv/kernel"] = kernel(conv)
        found |= norm(f"params/conv{i}/block/norm", bn)
    found["params/shortcut/projection/conv/kernel"] = kernel(module.projection)
    found |= norm("params/shortcut/projection/norm", module.projection_norm)
    y = module(x)
    (y**2).sum().backward()
    first = module.convs[0].weight.grad.permute(2, 3, 1, 0).numpy()
    found |= {"x": images(x), "y": images(y), "x_gradient": images(x.grad)}
    return found | {"conv1_gradient": first}


def main() -> None:
    """Writes the file."""
    torch.manual_seed(0)
    parts = {
        "ops": convolutions(),
        "batch_norm": batch_norm(),
        "basic": block((3, 3), 0, 4, 1),
        "bottleneck": block((1, 3, 1), 1, 4, 4),
        "bottleneck_v1": block((1, 3, 1), 0, 4, 4),
    }
    arrays = {
        f"{part}/{name}": np.asarray(value, np.float32)
        for part, found in parts.items()
        for name, value in found.items()
    }
    FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(FILE, torch=torch.__version__, **arrays)
    print(f"{FILE}: {len(arrays)} arrays, {FILE.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
