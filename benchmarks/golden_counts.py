"""Writes tests/golden/counts.json: parameters and multiply-accumulates of published networks.

    pip install torch torchvision timm && python benchmarks/golden_counts.py

They are counted on torchvision's and timm's own modules, at 1000 classes and without auxiliary
classifiers: outputs x window x channels / groups of every convolution and linear map. `size` is the
side of the image, `fields` are those of config.model with which ours has their sizes.
"""

import json
import sys
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn
from torchvision import models

FILE = Path(__file__).parents[1] / "tests" / "golden" / "counts.json"
VALID = {"padding": "VALID"}
TORCHVISION = {
    "alexnet": (224, VALID),
    **{f"efficientnet_b{i}": (size, {}) for i, size in ((0, 224), (1, 240), (2, 260), (4, 380))},
    "efficientnet_v2_s": (384, {}),
    "mobilenet_v3_large": (224, {}),
    "mobilenet_v3_small": (224, {}),
    "regnet_x_800mf": (224, {}),
    **{f"regnet_{x}_{mf}": (224, {}) for x in "xy" for mf in ("400mf", "1_6gf", "3_2gf")},
    "squeezenet1_0": (227, VALID),
    "squeezenet1_1": (223, VALID),
}
TIMM = {
    **{f"convnextv2_{size}": (224, {}) for size in ("atto", "femto", "pico", "nano", "tiny")},
    **{f"repvgg_{size}": (224, {}) for size in ("a0", "a1", "b0", "b1")},
}


def counted(module: nn.Module, size: int) -> dict[str, int]:
    """Returns the numbers of a network for an image of that side."""
    macs = 0

    def add(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal macs
        if isinstance(layer, nn.Conv2d | nn.Linear):
            channels = layer.weight.shape[0]
            macs += output.numel() // channels * layer.weight.numel()

    for layer in module.modules():
        layer.register_forward_hook(add)
    with torch.no_grad():
        module.eval()(torch.zeros(1, 3, size, size))
    return {"parameters": sum(p.numel() for p in module.parameters()), "macs": macs}


def googlenet() -> nn.Module:
    """torchvision's, whose third branch has windows of 3, with the paper's windows of 5."""
    module = models.googlenet(weights=None, aux_logits=False, init_weights=False)
    for block in module.modules():
        if hasattr(block, "branch3"):
            conv = block.branch3[1].conv
            wide = nn.Conv2d(conv.in_channels, conv.out_channels, 5, padding=2, bias=False)
            block.branch3[1].conv = wide
    return module


def main() -> None:
    """Writes the file."""
    inception = models.inception_v3(weights=None, aux_logits=False, init_weights=False)
    built = {
        "googlenet": (googlenet(), 224, {}),
        "inception_v3": (inception, 299, VALID),
        **{n: (getattr(models, n)(weights=None), *row) for n, row in TORCHVISION.items()},
        **{n: (timm.create_model(n), *row) for n, row in TIMM.items()},
        # torchvision's has other widths than the paper's.
        "regnet_y_800mf": (timm.create_model("regnety_008"), 224, {}),
    }
    found = {
        name: {"size": size, "fields": fields, **counted(module, size)}
        for name, (module, size, fields) in sorted(built.items())
    }
    versions = {library.__name__: library.__version__ for library in (torch, torchvision, timm)}
    FILE.write_text(json.dumps({"versions": versions, "networks": found}, indent=1) + "\n")
    print(f"{FILE}: {len(found)} networks", file=sys.stderr)


if __name__ == "__main__":
    main()
