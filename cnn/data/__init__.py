"""Batches on devices, from any source, in an order that is a pure function of seed and step."""

from cnn.data import policies
from cnn.data.augmentation import check_augment, make_augment, normalize
from cnn.data.dataset import Dataset, identity_differences, open_dataset, recorded_dataset
from cnn.data.feed import EvalFeed, Feed, load_batch, make_eval_feed, make_feed
from cnn.data.order import batch_indices
from cnn.data.signals import SIGNALS, Signal
from cnn.data.sources import SOURCES
from cnn.data.split import ArraySplit, Split, Subset

__all__ = [
    "SIGNALS",
    "SOURCES",
    "ArraySplit",
    "Dataset",
    "EvalFeed",
    "Feed",
    "Signal",
    "Split",
    "Subset",
    "batch_indices",
    "check_augment",
    "identity_differences",
    "load_batch",
    "make_augment",
    "make_eval_feed",
    "make_feed",
    "normalize",
    "open_dataset",
    "policies",
    "recorded_dataset",
]
