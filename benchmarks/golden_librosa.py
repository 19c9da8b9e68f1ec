"""Writes tests/golden/librosa.npz: features of librosa that ours are compared with.

    pip install librosa==0.11.0
    python benchmarks/golden_librosa.py

It needs librosa and nothing of ours; the tests need the file and not librosa.
"""

import json
from pathlib import Path

import librosa
import numpy as np

FILE = Path(__file__).resolve().parents[1] / "tests" / "golden" / "librosa.npz"
RATE, SAMPLES = 8000, 4000

# Field of data.sound -> value, for each case; see `features` for what librosa calls them.
CASES = {
    "small": dict(fft=256, window_length=256, hop=128, window="hann", bands=24, scale="slaney"),
    "htk": dict(fft=512, window_length=200, hop=80, window="hamming", bands=40, scale="htk"),
    "range": dict(
        fft=256, window_length=240, hop=100, window="hann", bands=20, scale="slaney", low=300.0
    ),
}
DEFAULTS = dict(low=0.0, high=4000.0, norm="area", floor=1e-10, range=0.0, centred=True)
CASES["htk"] |= dict(norm="peak", high=3400.0, centred=False)
CASES["range"] |= dict(range=40.0, floor=1e-6)


def wave() -> np.ndarray:
    """Returns a second half of silence after a tone that rises and falls, with a little noise."""
    time = np.arange(SAMPLES) / RATE
    noise = np.random.default_rng(0).normal(0, 0.01, SAMPLES)
    tone = 0.5 * np.sin(2 * np.pi * (300 * time + 2000 * time**2)) * np.hanning(SAMPLES)
    return np.where(time < 0.3, tone + noise, 0.0).astype(np.float32)


def features(case: dict[str, object]) -> dict[str, np.ndarray]:
    """Returns power mel, decibels and 13 MFCC of librosa, time first."""
    own = DEFAULTS | case
    mel = librosa.feature.melspectrogram(
        y=wave(),
        sr=RATE,
        n_fft=own["fft"],
        win_length=own["window_length"],
        hop_length=own["hop"],
        window=own["window"],
        center=own["centred"],
        power=2.0,
        n_mels=own["bands"],
        fmin=own["low"],
        fmax=own["high"],
        htk=own["scale"] == "htk",
        norm="slaney" if own["norm"] == "area" else None,
    )
    limit = own["range"] or None
    level = librosa.power_to_db(mel, ref=1.0, amin=own["floor"], top_db=limit)
    cepstrum = librosa.feature.mfcc(S=level, n_mfcc=13)
    return {"mel": mel.T, "log_mel": level.T, "mfcc": cepstrum.T}


def main() -> None:
    """Writes the file."""
    arrays = {"wave": wave(), "version": np.array(librosa.__version__)}
    for name, case in CASES.items():
        arrays[f"{name}/case"] = np.array(json.dumps(DEFAULTS | case))
        for kind, values in features(case).items():
            arrays[f"{name}/{kind}"] = values.astype(np.float32)
    np.savez_compressed(FILE, **arrays)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes, librosa {librosa.__version__}")


if __name__ == "__main__":
    main()
