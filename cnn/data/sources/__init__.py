"""Where examples come from; a new source is one file here and one line below."""

from cnn.data.sources import folder, moving, npz, synthetic, tar, tfds
from cnn.data.sources.source import SOURCES, Reader, Source

__all__ = ["SOURCES", "Reader", "Source", "folder", "moving", "npz", "synthetic", "tar", "tfds"]
