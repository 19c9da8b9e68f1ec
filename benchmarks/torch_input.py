"""torchvision's ImageFolder and transforms, the peer of `benchmarks/input.py`; one thread.

    PYTHON-WITH-TORCHVISION benchmarks/torch_input.py FOLDER png|jpeg [WORKERS BATCH]

It says what it is, and then reads every file of the folder for every line of its input; with
workers through a DataLoader of so many processes, the peer of `benchmarks/pipelines.py`.
"""

import importlib.util
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks.peer import serve


def name_operators() -> Any:
    """Gives torchvision the names of its operators, of which the loaders need none.

    They are missing where it was built for CUDA and torch for CPUs, and then it cannot be imported.
    What is returned has to be kept alive.
    """
    package = Path(importlib.util.find_spec("torchvision").submodule_search_locations[0])
    text = (package / "_meta_registrations.py").read_text()
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in sorted(set(re.findall(r'(?:torchvision::|register_meta\(")(\w+)', text))):
        with suppress(RuntimeError):
            library.define(f"{name}() -> ()")
    return library


def main(folder: str, form: str, workers: str = "", batch: str = "") -> None:
    """Serves readings of the folder."""
    torch.set_num_threads(1)
    library = name_operators() if "+cpu" in torch.__version__ else None
    import torchvision
    from torchvision import datasets, transforms

    steps = [transforms.PILToTensor()]
    if form == "jpeg":
        steps.insert(0, transforms.RandomResizedCrop(224, scale=(0.08, 1.0)))
    images = datasets.ImageFolder(folder, transforms.Compose(steps))
    print(f"torchvision {torchvision.__version__}", flush=True)
    if workers:
        options = dict(batch_size=int(batch), num_workers=int(workers), persistent_workers=True)
        loader = torch.utils.data.DataLoader(images, shuffle=True, drop_last=True, **options)
        serve(lambda: sum(len(pixels) for pixels, _ in loader))
    else:
        serve(lambda: torch.stack([images[i][0] for i in range(len(images))]))
    del library


if __name__ == "__main__":
    main(*sys.argv[1:])
