"""What each field may hold and who reads it: checks that need neither data nor devices."""

from collections.abc import Iterable, Iterator
from typing import Any

from ml_collections import ConfigDict

from cnn.config.durations import parse_duration
from cnn.config.errors import UserError, did_you_mean

CHOICES = {
    "data.signal": ("image", "sound", "video"),
    "data.video.sampling": ("dense", "uniform"),
    "data.video.short": ("loop", "hold", "refuse"),
    "data.sound.channels": (0, 1),
    "data.sound.other_rates": ("resample", "refuse"),
    "data.sound.short": ("pad", "refuse"),
    "data.sound.long": ("start", "centre"),
    "data.sound.features": ("wave", "log_mel", "mfcc"),
    "data.sound.window": ("hann", "hamming", "blackman", "boxcar"),
    "data.sound.scale": ("slaney", "htk"),
    "data.sound.filter_norm": ("area", "peak"),
    "data.sound.normalize": ("train", "clip", "none"),
    "data.source": ("tfds", "folder", "npz", "synthetic", "moving"),
    "data.broken_files": ("refuse", "skip"),
    "data.placement": ("auto", "device", "stream"),
    "data.channels": (0, 1, 3),
    "augment.pad_mode": ("zero", "reflect"),
    "model.norm": ("", "batch", "group", "layer", "instance", "none"),
    "model.dtype": ("float32", "bfloat16"),
    "optimizer.name": ("sgd", "adamw", "lamb", "lion"),
    "schedule.name": ("constant", "cosine", "linear", "step", "one_cycle"),
}

# field: (smallest, largest, whether the largest itself is allowed)
RANGES = {
    "seed": (0, 2**31 - 1, True),
    "seeds.init": (-1, 2**31 - 1, True),
    "seeds.order": (-1, 2**31 - 1, True),
    "seeds.augment": (-1, 2**31 - 1, True),
    "seeds.dropout": (-1, 2**31 - 1, True),
    "data.workers": (1, 1024, True),
    "data.prefetch": (1, 1024, True),
    "data.image_size": (0, 65536, True),
    "data.device_limit": (0, 2**40, True),
    "data.sound.rate": (1, 2**31 - 1, True),
    "data.sound.seconds": (0.0, 3600.0, True),
    "data.sound.fft": (2, 2**20, True),
    "data.sound.window_length": (0, 2**20, True),
    "data.sound.hop": (1, 2**20, True),
    "data.sound.bands": (1, 4096, True),
    "data.sound.low": (0.0, float("inf"), False),
    "data.sound.high": (0.0, float("inf"), False),
    "data.sound.floor": (1e-30, 1.0, True),
    "data.sound.dynamic_range": (0.0, 1000.0, True),
    "data.sound.coefficients": (1, 4096, True),
    "data.video.frames": (1, 65536, True),
    "data.video.stride": (1, 65536, True),
    "augment.time_shift": (0.0, 3600.0, True),
    "model.norm_momentum": (0.0, 1.0, False),
    "model.norm_epsilon": (0.0, 1.0, False),
    "model.ghost_batch": (0, 2**40, True),
    "model.width": (0.0, 64.0, True),
    "model.dropout": (0.0, 1.0, False),
    "model.input_dropout": (0.0, 1.0, False),
    "model.stochastic_depth": (0.0, 1.0, False),
    "train.batch_size": (1, 2**40, True),
    "train.accumulation": (1, 2**40, True),
    "train.label_smoothing": (0.0, 1.0, False),
    "train.ema_decay": (0.0, 1.0, False),
    "train.clip_norm": (0.0, float("inf"), False),
    "optimizer.learning_rate": (0.0, float("inf"), False),
    "optimizer.momentum": (0.0, 1.0, False),
    "optimizer.beta1": (0.0, 1.0, False),
    "optimizer.beta2": (0.0, 1.0, False),
    "optimizer.epsilon": (0.0, 1.0, False),
    "optimizer.weight_decay": (0.0, float("inf"), False),
    "schedule.factor": (0.0, 1.0, True),
    "schedule.final": (0.0, 1.0, True),
    "evaluation.batch_size": (1, 2**40, True),
    "evaluation.views": (1, 1024, True),
    "checkpoint.keep": (1, 2**40, True),
    "mesh.devices": (0, 2**40, True),
}

DURATIONS = (
    "data.validation",
    "train.duration",
    "schedule.warmup",
    "evaluation.every",
    "checkpoint.every",
    "log.every",
)

# field: (the field that selects, the selections that read it)
READ_BY = {
    "data.name": ("data.source", {"tfds", "moving"}),
    "data.version": ("data.source", {"tfds", "moving"}),
    "data.data_dir": ("data.source", {"tfds", "moving"}),
    "data.path": ("data.source", {"folder", "npz"}),
    "data.broken_files": ("data.source", {"folder"}),
    "data.synthetic_shape": ("data.source", {"synthetic"}),
    "data.synthetic_examples": ("data.source", {"synthetic"}),
    "data.synthetic_classes": ("data.source", {"synthetic"}),
    "data.device_limit": ("data.placement", {"auto"}),
    "data.image_size": ("data.source", {"tfds", "folder", "moving"}),
    **{
        f"data.sound.{name}": ("data.source", {"tfds", "folder"})
        for name in ("seconds", "other_rates", "short", "long", "channels")
    },
    **{
        f"data.sound.{name}": ("data.sound.features", {"log_mel", "mfcc"})
        for name in (
            *("fft", "window_length", "hop", "window", "centred", "bands", "low", "high"),
            *("scale", "filter_norm", "floor", "dynamic_range"),
        )
    },
    "data.sound.coefficients": ("data.sound.features", {"mfcc"}),
    "data.channels": ("data.source", {"tfds", "folder", "moving"}),
    "data.video.stride": ("data.video.sampling", {"dense"}),
    "data.video.random": ("data.source", {"tfds", "folder"}),
    "data.video.sampling": ("data.source", {"tfds", "folder"}),
    "model.norm_momentum": ("model.norm", {"", "batch"}),
    "model.ghost_batch": ("model.norm", {"", "batch"}),
    "optimizer.momentum": ("optimizer.name", {"sgd"}),
    "optimizer.nesterov": ("optimizer.name", {"sgd"}),
    "optimizer.beta1": ("optimizer.name", {"adamw", "lamb", "lion"}),
    "optimizer.beta2": ("optimizer.name", {"adamw", "lamb", "lion"}),
    "optimizer.epsilon": ("optimizer.name", {"adamw", "lamb"}),
    "schedule.boundaries": ("schedule.name", {"step"}),
    "schedule.factor": ("schedule.name", {"step"}),
    "schedule.final": ("schedule.name", {"cosine", "linear", "one_cycle"}),
}

# field: the values of data.signal that read it; fields below data.<signal> are of that one.
OF_SIGNAL = {
    "data.image_size": {"image", "video"},
    "data.channels": {"image", "video"},
    "augment.flip": {"image", "video"},
    "augment.pad": {"image", "video"},
    "augment.pad_mode": {"image", "video"},
    "augment.random_resized_crop": {"image", "video"},
    "augment.cutout": {"image", "video"},
    "augment.cutmix": {"image", "video"},
    "augment.time_shift": {"sound"},
    "augment.time_masks": {"sound"},
    "augment.band_masks": {"sound"},
    "augment.noise": {"sound"},
    "augment.noise_snr": {"sound"},
    "augment.color_ops": {"image", "video"},
    "augment.color_magnitude": {"image", "video"},
    **{
        f"model.{name}": {"video"}
        for name in ("temporal_downsample", "shortcut_temporal_downsample", "temporal_head")
    },
    "evaluation.views": {"video"},
}


def leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every field by its dotted name, with its value."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def changed_fields(config: ConfigDict, reference: ConfigDict) -> set[str]:
    """Returns the dotted names of the fields whose values differ from the reference's."""
    before = dict(leaves(reference))
    return {name for name, value in leaves(config) if before.get(name) != value}


def check_values(config: ConfigDict) -> None:
    """Refuses values that no run can have.

    Raises:
      UserError: names the field, its value and what is allowed.
    """
    values = dict(leaves(config))
    for field, allowed in CHOICES.items():
        value = values[field]
        if value not in allowed:
            names = [str(a) for a in allowed]
            raise UserError(f"{field}: unknown '{value}': {did_you_mean(str(value), names)}")
    for field, (low, high, closed) in RANGES.items():
        value = values[field]
        if not (low <= value < high or (closed and value == high)):
            end = "]" if closed else ")"
            raise UserError(f"{field}: {value} is out of range; allowed: [{low}, {high}{end}")
    for field in DURATIONS:
        parse_duration(values[field], field)
    for boundary in config.schedule.boundaries:
        parse_duration(boundary, "schedule.boundaries")


def check_read(config: ConfigDict, fields: Iterable[str]) -> None:
    """Refuses fields that were set although what the config selects does not read them.

    Raises:
      UserError: names the field, the selection, and the selections that read it.
    """
    values = dict(leaves(config))
    for field in sorted(fields):
        for selector, readers in _conditions(field):
            if values[selector] in readers:
                continue
            raise UserError(
                f"{field}: has no effect with {selector}={values[selector]}; "
                f"leave it out, or set {selector} to {' or '.join(sorted(readers))}"
            )


def concerns(field: str, signal: str) -> bool:
    """Whether a field means anything to runs on such a signal."""
    return all(
        signal in readers for selector, readers in _conditions(field) if selector == "data.signal"
    )


def _conditions(field: str) -> Iterator[tuple[str, set[str]]]:
    """Yields what has to be selected for a field to be read: a selecting field, its values."""
    if field in OF_SIGNAL:
        yield "data.signal", OF_SIGNAL[field]
    section, _, rest = field.removeprefix("data.").partition(".")
    if field.startswith("data.") and rest:
        yield "data.signal", {section}
    if field in READ_BY:
        yield READ_BY[field]
