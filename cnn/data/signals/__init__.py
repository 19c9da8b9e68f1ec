"""Kinds of signals; a new one is one file here and one line below."""

from cnn.data.signals import image, sound, video
from cnn.data.signals.signal import SIGNALS, Codec, Form, Kind, Look, Signal

__all__ = ["SIGNALS", "Codec", "Form", "Kind", "Look", "Signal", "image", "sound", "video"]
