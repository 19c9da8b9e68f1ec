"""Kinds of signals; a new one is one file here and one line below."""

from cnn.data.signals import image, sound, video
from cnn.data.signals.signal import SIGNALS, Codec, FileInfo, Form, Signal, SignalKind

__all__ = [
    "SIGNALS",
    "Codec",
    "FileInfo",
    "Form",
    "Signal",
    "SignalKind",
    "image",
    "sound",
    "video",
]
