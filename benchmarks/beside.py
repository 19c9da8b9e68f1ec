"""What is here beside timm and torchvision: a table made from the registries and their names."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from benchmarks.signal_tables import table
from cnn.data.augmentation import AUGMENTATIONS
from cnn.data.prepare.builders import BUILDERS
from cnn.evaluation.suites import SUITES
from cnn.layers import DOWNSAMPLERS, HEADS, NORMS
from cnn.models import MODELS
from cnn.training.losses import LOSSES
from cnn.training.optimizer import OPTIMIZERS
from cnn.training.schedules import SCHEDULES
from cnn.training.sharpness import ASCENTS
from cnn.training.trackers import TRACKERS

FILE = Path(__file__).parent / "results" / "peers.json"
_KINDS: dict[str, Iterable[str]] = {
    "networks": MODELS,
    "operators and heads": [*DOWNSAMPLERS, *HEADS],
    "norms": NORMS,
    "augmentations": [
        *AUGMENTATIONS,
        *("flip", "random_resized_crop", "cutout", "mixup", "cutmix"),
    ],
    "losses": LOSSES,
    "optimizers": [*OPTIMIZERS, *ASCENTS, "schedule_free"],
    "schedules": SCHEDULES,
    "data sets": BUILDERS,
    "suites": SUITES,
    "trackers": TRACKERS,
}
# Ours by the words that a peer has for the same; names that are alike need no line.
_ALIASES = {
    "wrn": "wideresnet",
    "preact_resnet": "resnetv2",
    "m": "m5",
    "c": "c3d",
    "r": "r2plus1d|r3d",
    "max": "maxpool",
    "avg": "avgpool",
    "avg_max": "adaptiveavgmaxpool",
    "cat_avg_max": "adaptivecatavgmaxpool",
    "attention": "attentionpool",
    "blur": "blurpool",
    "lp": "lppool",
    "lse": "logsumexp|lseplus",
    "mixed": "mixedpool",
    "gated": "gatedpool",
    "tree": "treepool",
    "soft": "softpool",
    "spectral": "spectralpool",
    "stochastic": "stochasticpool",
    "space_to_depth": "spacetodepth|pixelunshuffle",
    "strided_conv": "conv2d",
    "none": "identity",
    "batch": "batchnorm",
    "layer": "layernorm",
    "group": "groupnorm",
    "instance": "instancenorm",
    "softmax_cross_entropy": "crossentropy|softtargetcrossentropy",
    "binary_cross_entropy": "bceloss|binarycrossentropy",
    "focal": "focalloss|sigmoidfocalloss",
    "constant": "constantlr",
    "cosine": "cosinelr|cosineannealinglr",
    "linear": "linearlr",
    "step": "multisteplr",
    "one_cycle": "onecyclelr",
    "flip": "randomhorizontalflip",
    "cutout": "randomerasing",
}
_FAMILY = re.compile(r"[a-z]+?(?=\d|_|$|v\d)(?:_?v\d|_[a-z]+(?=\d)|_cnn)?")


def beside() -> str:
    """Returns one table of counts, and one row for each of our entries with who else has it."""
    stored = json.loads(FILE.read_text())
    peers, versions = stored["names"], stored["versions"]
    titles = {name: f"{name} {versions[name].partition('+')[0]}" for name in peers}
    rows = [
        (kind, str(len(list(entries))), *(_shared(kind, entries, peers[name]) for name in peers))
        for kind, entries in _KINDS.items()
    ]
    counts = table(
        ("registry", "entries here", *(f"of these, in {t}" for t in titles.values())), rows
    )
    parts = [counts]
    for kind, entries in _KINDS.items():
        named = families(entries) if kind == "networks" else {name: [name] for name in entries}
        if any(kind in names for names in peers.values()):
            parts.append(f"### {kind.capitalize()}\n\n{_list(kind, named, peers, titles)}")
    return "\n\n".join(parts)


def families(names: Iterable[str]) -> dict[str, list[str]]:
    """Returns networks by what their names begin with."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_FAMILY.match(name)[0], []).append(name)
    return found


def has(names: Collection[str], entry: str) -> bool:
    """Whether a peer names an entry: one of its names, letters and digits alone, begins with it."""
    wanted = _ALIASES.get(entry, _plain(entry)).split("|")
    return any(_plain(name).startswith(word) for name in names for word in wanted)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _shared(kind: str, entries: Iterable[str], names: Mapping[str, list[str]]) -> str:
    if kind not in names:
        return "n/a"
    if kind != "networks":
        return str(sum(has(names[kind], entry) for entry in entries))
    own = families(entries)
    return f"{sum(has(names[kind], family) for family in own)} of {len(own)} families"


def _list(
    kind: str,
    entries: Mapping[str, list[str]],
    peers: Mapping[str, Mapping[str, list[str]]],
    titles: Mapping[str, str],
) -> str:
    """Returns the entries by who else has them."""
    groups: dict[tuple[bool, ...], list[str]] = {}
    for entry, members in entries.items():
        who = tuple(has(names.get(kind, ()), entry) for names in peers.values())
        shown = f"{entry} ({len(members)})" if len(members) > 1 else members[0]
        groups.setdefault(who, []).append(f"`{shown}`")
    rows = [
        (*("yes" if one else "" for one in who), ", ".join(members))
        for who, members in sorted(groups.items(), reverse=True)
    ]
    return table((*titles.values(), "here"), rows)
