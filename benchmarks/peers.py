"""Writes benchmarks/results/peers.json: what timm and torchvision (with PyTorch) name.

    pip install torch torchvision timm && python benchmarks/peers.py

Names only, from their own lists and modules; benchmarks/beside.py puts our registries beside them.
"""

import json
import sys
from pathlib import Path
from types import ModuleType

import timm
import torch
import torchvision
from timm import data, layers, loss, optim, scheduler
from torchvision.transforms import v2

FILE = Path(__file__).parent / "results" / "peers.json"


def public(module: ModuleType) -> list[str]:
    """Returns the classes of a module by name."""
    return sorted(name for name in dir(module) if name[0].isupper())


def files(module: ModuleType) -> list[str]:
    """Returns the modules of a package and the names in them."""
    return sorted(name for name in dir(module) if not name.startswith("_"))


PEERS = {
    "timm": {
        "networks": sorted(timm.list_models()),
        "operators and heads": files(layers),
        "norms": files(layers),
        "augmentations": [
            *files(data.auto_augment),
            *files(data.transforms),
            *files(data.mixup),
            *files(data.random_erasing),
        ],
        "losses": public(loss),
        "optimizers": sorted(optim.list_optimizers()),
        "schedules": public(scheduler),
    },
    "torchvision": {
        "networks": sorted(torchvision.models.list_models()),
        "operators and heads": public(torch.nn),
        "norms": public(torch.nn),
        "augmentations": public(v2),
        "losses": [*public(torch.nn), *files(torchvision.ops)],
        "optimizers": public(torch.optim),
        "schedules": public(torch.optim.lr_scheduler),
        "data sets": public(torchvision.datasets),
    },
}


def main() -> None:
    """Writes the file."""
    versions = {library.__name__: library.__version__ for library in (torch, torchvision, timm)}
    FILE.write_text(json.dumps({"versions": versions, "names": PEERS}) + "\n")
    print(f"{FILE}: {FILE.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
