"""Bytes in the formats of official archives, with random pixels."""

import gzip
import io
import struct
import tarfile

import numpy as np
import scipy.io
import soundfile

RNG = np.random.default_rng(0)


def images(count, *shape):
    return RNG.integers(0, 256, (count, *shape), dtype=np.uint8)


def idx(array):
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes())


def tar(files, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def mat(pixels, labels):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"X": np.moveaxis(pixels, 0, -1), "y": labels[:, None]})
    return buffer.getvalue()


def wav(samples):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.astype(np.int16), 16000, format="WAV")
    return buffer.getvalue()


def cifar_row(pixels, *labels):
    return bytes(labels) + pixels.transpose(2, 0, 1).tobytes()
