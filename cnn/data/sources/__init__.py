"""Where images come from; a new source is one file here and one line below."""

from cnn.data.sources import synthetic, tfds
from cnn.data.sources.source import SOURCES, Reader, Source

__all__ = ["SOURCES", "Reader", "Source", "synthetic", "tfds"]
