"""The library: networks by name, trained runs, and the results of runs and studies as tables.

    import cnn

    network = cnn.build("resnet20", num_classes=10, downsample="max_blur")
    run = cnn.train("configs/fashion_mnist_10k.py", "runs/first")  # or cnn.open_run("runs/first")
    run.predict(["cat.png", "dog.jpg"]).labels
    cnn.run_metrics("runs/first")
    cnn.study_table("runs/study")

Whoever reads runs that were trained with plugins loads them first, with `load_plugins`.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import flax.linen as nn
import jax
import numpy as np

from cnn import models
from cnn.config.base import get_config
from cnn.config.check import check_read, check_values
from cnn.config.errors import UserError
from cnn.config.load import load as load_config
from cnn.config.plugin import load_plugins
from cnn.data import SIGNALS
from cnn.evaluation import checkpointed_run
from cnn.evaluation.feature_maps import feature_maps
from cnn.training import loop
from cnn.training.logs import read_metrics
from cnn.training.run_folder import RunFolder
from cnn.training.steps import infer

__all__ = [
    "Predictions",
    "TrainedRun",
    "UserError",
    "build",
    "load_config",
    "load_plugins",
    "open_run",
    "run_metrics",
    "study_table",
    "train",
]

# Files, or pixels: uint8 `[H, W, C]` each, or `[N, H, W, C]` together.
Images = Sequence[str | os.PathLike[str] | np.ndarray] | np.ndarray


def build(name: str, num_classes: int = 10, **fields: Any) -> nn.Module:
    """Builds a network.

    Args:
      name: `python -m cnn.models` lists them.
      num_classes: K.
      fields: of config.model, such as `downsample="max_blur(taps=3)"` or `dtype="bfloat16"`; what
        is left out is as its authors published it.

    Returns:
      A linen module, called as `module.apply(variables, images, train=False)`, from float32 images
      `[B, H, W, C]` to float32 logits `[B, K]`.

    Raises:
      UserError: unknown name, or a field that the network does not have or read.
    """
    config = get_config()
    unknown = sorted(set(fields) - set(config.model))
    if unknown:
        raise UserError(f"build: config.model has no field '{unknown[0]}'")
    config.model.update(name=name, **fields)
    check_values(config)
    check_read(config, {f"model.{field}" for field in fields})
    return models.build(config.model, num_classes)


@dataclass(frozen=True)
class Predictions:
    """What a network says of some images.

    Attributes:
      logits: float32 `[N, K]`.
      probabilities: float32 `[N, K]`, their softmax.
      labels: names of the most probable classes, `[N]`.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    labels: tuple[str, ...]


class TrainedRun:
    """A checkpoint of a run, with the preprocessing that it was trained with.

    Attributes:
      checkpoint: what `eval.py` measures: the run folder, the evaluator and the step.
      network: the linen module.
      variables: its parameters and other collections, averaged if the run kept averages.
      class_names: of the outputs.
    """

    def __init__(self, checkpoint: checkpointed_run.CheckpointedRun):
        self.checkpoint = checkpoint
        self.network = checkpoint.evaluator.model
        self.variables = checkpoint.variables
        self.class_names = tuple(checkpoint.evaluator.dataset.class_names)
        self._signal = checkpoint.evaluator.dataset.signal
        self._logits = jax.jit(partial(infer, self.network))

    def prepare(self, images: Images) -> np.ndarray:
        """Returns the network's input, float32 `[N, H, W, C]`: resized, cropped and normalised.

        Raises:
          UserError: an image cannot be read, or the run was not trained on images.
        """
        if self.checkpoint.evaluator.config.data.signal != "image":
            raise UserError(f"{self.checkpoint.folder.path}: this run was not trained on images")
        pixels = np.stack([self._decode(image, i) for i, image in enumerate(images)])
        return np.asarray(self._signal.prepare(pixels))

    def predict(self, images: Images) -> Predictions:
        """Classifies files or pixels; see `prepare`."""
        logits = np.asarray(self._logits(self.variables, self.prepare(images)))
        return Predictions(
            logits,
            np.asarray(jax.nn.softmax(logits)),
            tuple(self.class_names[i] for i in logits.argmax(-1)),
        )

    def feature_maps(self, images: Images) -> dict[str, np.ndarray]:
        """Returns the outputs `[N, h, w, C]` of the layers directly below the network, by name."""
        maps = jax.jit(feature_maps(self.network))(self.variables, self.prepare(images))
        return {name: np.asarray(value) for name, value in maps.items()}

    def fused(self) -> tuple[nn.Module, dict[str, Any]]:
        """Returns network and variables of single convolutions that compute what a RepVGG does.

        Raises:
          UserError: the run's network has no branches that could be fused.
        """
        model = self.checkpoint.evaluator.config.model.copy_and_resolve_references()
        if f"{model.name}_fused" not in models.MODELS:
            raise UserError(f"fused: {model.name} has no RepVGG branches to fuse")
        with model.unlocked():
            model.name, model.norm = f"{model.name}_fused", ""
        network = models.build(model, len(self.class_names))
        return network, models.repvgg.fused(self.variables, model.norm_epsilon)

    def _decode(self, image: str | os.PathLike[str] | np.ndarray, place: int) -> np.ndarray:
        """Returns uint8 pixels of the shape that the run was trained on."""
        height, width, channels = self._signal.example.shape
        section = self.checkpoint.evaluator.config.data.copy_and_resolve_references()
        with section.unlocked():
            section.channels = channels
            section.image_size = section.image_size or (height if height == width else 0)
        where = f"image {place}" if isinstance(image, np.ndarray) else str(image)
        # Arrays are encoded losslessly and read like files, so that both are resized alike.
        encoded = _as_png(image, where) if isinstance(image, np.ndarray) else _read(Path(image))
        form = SIGNALS["image"].codec(section).form((None, None, channels), where)
        pixels = form.decode(encoded, where)
        if pixels.shape != (height, width, channels):
            raise UserError(
                f"{where}: is {pixels.shape}, and the run was trained on "
                f"{(height, width, channels)} as they are stored; give images of that size"
            )
        return pixels


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def _as_png(pixels: np.ndarray, where: str) -> bytes:
    grey = pixels.ndim == 2 or pixels.shape[-1] == 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or not (grey or pixels.shape[2] == 3):
        raise UserError(
            f"{where}: {pixels.dtype} {list(pixels.shape)} is not an image; give uint8 pixels "
            "[height, width, 1 or 3]"
        )
    return cv2.imencode(".png", pixels if grey else pixels[..., ::-1])[1].tobytes()


def train(
    config: str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    plugins: Sequence[str] = (),
) -> "TrainedRun":
    """Trains a network, or goes on with it, as `python -m cnn train` does; shows its progress.

    Args:
      config: a config file.
      workdir: the run folder.
      overrides: "field=value" texts.
      plugins: files to load first.

    Raises:
      UserError: as the command does.
    """
    loop.train(load_config(str(config), overrides, plugins).config, str(workdir))
    return open_run(workdir)


def open_run(
    workdir: str | os.PathLike[str], step: str = "last", overrides: Sequence[str] = ()
) -> TrainedRun:
    """Opens a checkpoint of a run folder.

    Args:
      workdir: the folder that `train` wrote.
      step: "last", "best" (on the validation split) or a number.
      overrides: "field=value" for where things are, such as "data.data_dir=DIR".

    The run's data set need not be present: class names, input shape and normalisation are stored in
    the run folder.

    Raises:
      UserError: there is no such run or checkpoint, or a plugin is missing.
    """
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)  # Orbax warns of folders that are only read.
    try:
        return TrainedRun(checkpointed_run.open_run(str(workdir), step, None, overrides))
    finally:
        log.setLevel(level)


def run_metrics(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns what a run logged: rows of "step", "split", "name" and "value".

    Raises:
      UserError: there is no run.
    """
    folder = RunFolder(workdir)
    folder.record()
    return read_metrics(folder.metrics_file)


def study_table(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns a study's results, a row per arm: mean, difference, interval, p, verdict, cost.

    The columns are those of `report.csv`, in the metric's own units, None where unknown; so
    `pandas.DataFrame(study_table(folder))` is a table of them.

    Raises:
      UserError: there is no study.
    """
    from cnn.ablation.analysis.collect import collect
    from cnn.ablation.analysis.study_analysis import analyze
    from cnn.ablation.planning.study_folder import StudyFolder
    from cnn.ablation.report.spreadsheet import table_rows

    return table_rows(analyze(collect(StudyFolder(Path(workdir).absolute()))))
