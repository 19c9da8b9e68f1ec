"""Speech Commands v0.02 (Warden 2018), twelve classes: ten words, silence, other words."""

import io
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from cnn.config.errors import UserError
from cnn.data.files import shown
from cnn.data.prepare.archives import Archive
from cnn.data.prepare.builders.builder import BUILDERS, Builder, Files, readable
from cnn.data.prepare.writer import Example, PreparedSet, label, sound

_WORDS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes")
_SILENCE, _UNKNOWN, _NOISE = "_silence_", "_unknown_", "_background_noise_"
_RATE = 16000


def _waves(path: Path) -> Iterator[tuple[str, bytes]]:
    with readable(path), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.isfile():
                yield member.name.removeprefix("./"), archive.extractfile(member).read()


def _speech_splits(path: Path) -> tuple[set[str], set[str]]:
    """Returns the names of the validation and of the test examples of the main archive."""
    lists = {"validation_list.txt": set(), "testing_list.txt": set()}
    for name, content in _waves(path):
        if name in lists:
            lists[name] = set(content.decode("ascii").split())
    if not all(lists.values()):
        raise UserError(f"{shown(path)}: contains no lists of validation and test examples")
    return lists["validation_list.txt"] | {f"{_NOISE}/running_tap.wav"}, lists["testing_list.txt"]


def _speech_examples(path: Path, chosen: Callable[[str], bool]) -> Iterator[Example]:
    import soundfile

    for name, content in _waves(path):
        if not name.endswith(".wav") or not chosen(name):
            continue
        word, file = name.split("/")[-2:]
        try:
            samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")
        except (soundfile.LibsndfileError, RuntimeError):
            continue  # as TFDS does: a few files of the archive cannot be decoded
        key = f"{word}_{file}"
        if word == _NOISE:
            for start in range(0, len(samples) - _RATE, _RATE // 2):
                part = samples[start : start + _RATE]
                yield f"{key}_{start}", {"audio": part, "label": _SILENCE}
        else:
            known = word if word in (*_WORDS, _SILENCE) else _UNKNOWN
            yield key, {"audio": samples, "label": known}


def _speech_commands(files: Files) -> list[PreparedSet]:
    main = files["speech_commands_v0.02.tar.gz"]
    validation, test = _speech_splits(main)
    held = validation | test
    splits = {
        "train": partial(_speech_examples, main, lambda name: name not in held),
        "validation": partial(_speech_examples, main, validation.__contains__),
        "test": partial(
            _speech_examples, files["speech_commands_test_set_v0.02.tar.gz"], lambda name: True
        ),
    }
    features = {"audio": sound(_RATE), "label": label((*_WORDS, _SILENCE, _UNKNOWN))}
    return [
        PreparedSet(
            "speech_commands",
            "0.0.3",
            features,
            splits,
            homepage="https://arxiv.org/abs/1804.03209",
            supervised=("audio", "label"),
        )
    ]


_SPEECH = "http://download.tensorflow.org/data/"
BUILDERS.add(
    "speech_commands",
    Builder(
        "one-second spoken words, twelve classes",
        (
            Archive(
                f"{_SPEECH}speech_commands_v0.02.tar.gz",
                2428923189,
                "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            ),
            Archive(
                f"{_SPEECH}speech_commands_test_set_v0.02.tar.gz",
                112563277,
                "cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
            ),
        ),
        _speech_commands,
    ),
)
