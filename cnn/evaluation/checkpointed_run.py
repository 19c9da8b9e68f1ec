"""Opens a run folder: the trained network with the variables of one of its checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cnn.config.errors import UserError
from cnn.config.fields import leaves
from cnn.config.load import apply_override
from cnn.config.plugin import check_plugins
from cnn.config.record import FREE_FIELDS
from cnn.data import SOURCES, Dataset, Split, identity_differences, open_dataset, recorded_dataset
from cnn.training.assembly import Evaluator, make_evaluator
from cnn.training.checkpoint import Checkpoints, DamagedCheckpointError
from cnn.training.evaluate import Outcomes, evaluate
from cnn.training.mesh import fit_mesh
from cnn.training.run_folder import RunFolder
from cnn.training.state import TrainState

# Fields that define what a trained network is measured on; results are stored per value.
MEASURED_FIELDS = frozenset(
    {
        "data.source",
        "data.name",
        "data.version",
        "data.data_dir",
        "data.path",
        "data.train_split",
        "data.test_split",
        "data.crop_ratio",
        "data.interpolation",
        "data.mean",
        "data.std",
        "evaluation.tta",
        "evaluation.cifar_c",
    }
)
# Given on the command line, these say that evaluation on other data is intended.
DATA_FIELDS = frozenset(
    {
        "data.source",
        "data.name",
        "data.version",
        "data.data_dir",
        "data.path",
        "data.test_split",
        "data.broken_files",
    }
)
# Fields that can be changed for an evaluation: only MEASURED_FIELDS affect its results.
EVALUATION_FIELDS = FREE_FIELDS | MEASURED_FIELDS | {"data.broken_files"}
SPLITS = ("test", "validation", "train")


@dataclass(frozen=True)
class CheckpointedRun:
    """One checkpoint of a run, ready to be evaluated.

    Attributes:
      folder: of the run.
      evaluator: the network and its jitted evaluation.
      variables: "params" and the other collections; weight averages if the run kept them.
      step: of the checkpoint.
      changes: fields changed for the evaluation that affect what is measured.
      remarks: sentences on how the data and the devices differ from those of the run.
    """

    folder: RunFolder
    evaluator: Evaluator
    variables: dict[str, Any]
    step: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def split(self, name: str) -> Split:
        """Returns a split of the run's data set.

        Raises:
          UserError: the run has no validation split.
        """
        split = getattr(self.evaluator.dataset, name)
        if split is None:
            raise UserError(f"--split: the run has no {name} split (data.validation is zero)")
        return split

    def data_section(self) -> ConfigDict:
        """Returns a copy of the data section, with the mean and std of the normalisation."""
        section = self.evaluator.config.data.copy_and_resolve_references()
        with section.unlocked():
            section.mean, section.std = self.evaluator.dataset.mean, self.evaluator.dataset.std
        return section

    def open_split(self, name: str) -> Split | None:
        """Opens a split besides the evaluated one, normalised like it; None: the run has none."""
        names = self.evaluator.dataset.class_names
        return getattr(open_dataset(self.data_section(), splits=(name,), class_names=names), name)

    def outcomes(self, split: str) -> Outcomes:
        """Evaluates the checkpoint on every example of a split."""
        views = self.evaluator.config.evaluation.views
        feed = self.evaluator.feed(self.split(split), views)
        return evaluate(self.evaluator.step, self.variables, feed)


def open_run(
    workdir: str, step: str = "last", split: str | None = "test", overrides: Sequence[str] = ()
) -> CheckpointedRun:
    """Opens a checkpoint of a run folder that train.py wrote, on the devices that are there.

    Args:
      workdir: the run folder.
      step: "last", "best" (on the validation split) or a number.
      split: the split to open. With None the data set need not be present, unless the run folder
        is of a version that did not record the shape of the examples; the test split is opened on
        first use.
      overrides: "field=value" for `EVALUATION_FIELDS`, such as data.data_dir.

    Raises:
      UserError: the run or checkpoint does not exist, the checkpoint is damaged, or a field cannot
        be changed.
    """
    if split not in (*SPLITS, None):
        raise UserError(f"--split: unknown '{split}'; allowed: {', '.join(SPLITS)}")
    folder = RunFolder(workdir)
    record, config = folder.record(), folder.config()
    check_plugins(config.plugins, str(folder.path))
    changes = _override(config, overrides)
    checkpoints = _open_checkpoints(folder)
    # Before the data is opened, so that a wrong step is refused at once.
    checkpoints.find(step, "--step")
    intended = any(text.partition("=")[0] in DATA_FIELDS for text in overrides)
    opened = partial(_open_checked, config, record["resolved"], changes, intended)
    if split is None and "example" in record["resolved"]:
        dataset, remarks = _recorded_data(folder, config, record["resolved"], changes, opened), ()
    else:
        dataset, remarks = opened(split or "test")
    asked = any(text.startswith("mesh.") for text in overrides)
    elsewhere = "" if asked else fit_mesh(config)
    evaluator = make_evaluator(config, dataset)
    try:
        number, state = _restore(checkpoints, step, evaluator)
    finally:
        checkpoints.close()
    remarks = (*remarks, elsewhere) if elsewhere else remarks
    return CheckpointedRun(folder, evaluator, state.variables(), number, changes, remarks)


def _open_checkpoints(folder: RunFolder) -> Checkpoints:
    if not folder.checkpoints.is_dir():
        raise UserError(
            f"--workdir: {folder.path} has no checkpoint yet; train longer, or give another folder"
        )
    return Checkpoints(folder.checkpoints, read_only=True)


def _restore(checkpoints: Checkpoints, step: str, evaluator: Evaluator) -> tuple[int, TrainState]:
    """Reads the checkpoint that `step` names; concurrent training may replace it meanwhile."""
    while True:
        number = checkpoints.find(step, "--step")
        try:
            return number, checkpoints.restore(number, evaluator.abstract_state())[0]
        except DamagedCheckpointError as error:
            if checkpoints.is_gone(number):
                continue
            others = [s for s in checkpoints.steps() if s != number] or "none"
            raise UserError(
                f"--step: the checkpoint is damaged ({error}); other steps of "
                f"{checkpoints.directory.parent}: {others}"
            ) from error


def _override(config: ConfigDict, overrides: Sequence[str]) -> dict[str, Any]:
    """Overrides fields; returns the new values of those that affect what is measured."""
    for text in overrides:
        name = text.partition("=")[0]
        if name not in EVALUATION_FIELDS:
            raise UserError(
                f"--config.{name}: cannot be changed for a trained network; "
                f"allowed: {', '.join(sorted(EVALUATION_FIELDS))}"
            )
    before = dict(leaves(config))
    for text in overrides:
        apply_override(config, text)
    return {
        name: value
        for name, value in leaves(config)
        if name in MEASURED_FIELDS and value != before[name]
    }


def _recorded_data(
    folder: RunFolder,
    config: ConfigDict,
    resolved: Mapping[str, Any],
    changes: Mapping[str, Any],
    opened: Callable[[str], tuple[Dataset, tuple[str, ...]]],
) -> Dataset:
    """Returns the data set as recorded by the run, without opening its files."""
    section = _normalized_as_trained(config, resolved, changes)
    try:
        return recorded_dataset(section, resolved, lambda: opened("test")[0].test)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{folder.config_file}: the field 'resolved.example' is not as train.py wrote it "
            f"({str(error).splitlines()[0]}); restore the file from a copy"
        ) from error


def _open_checked(
    config: ConfigDict,
    resolved: Mapping[str, Any],
    changes: Mapping[str, Any],
    intended: bool,
    split: str,
) -> tuple[Dataset, tuple[str, ...]]:
    """Opens a split and compares it with that of the run; returns remarks on the differences."""
    dataset = _open_data(_normalized_as_trained(config, resolved, changes), resolved, split)
    return dataset, _check_data(config.data, resolved, dataset, split, intended)


def _normalized_as_trained(
    config: ConfigDict, resolved: Mapping[str, Any], changes: Mapping[str, Any]
) -> ConfigDict:
    """Returns the data section with the mean and std of training, unless overridden."""
    section = config.data.copy_and_resolve_references()
    with section.unlocked():
        for name in ("mean", "std"):
            if f"data.{name}" not in changes:
                section[name] = tuple(resolved[name])
    return section


def _open_data(section: ConfigDict, resolved: Mapping[str, Any], split: str) -> Dataset:
    """Opens one split with the class names of training.

    Raises:
      UserError: the data does not exist, or has other classes.
    """
    stored = resolved.get("identity")
    names = stored and stored["class_names"]
    try:
        return open_dataset(section, splits=(split,), class_names=names)
    except UserError as error:
        field = SOURCES[section.source].location
        if not field or not section[field] or Path(section[field]).exists():
            raise
        raise UserError(
            f"{error}; if the data has moved, pass its new location: --config.data.{field}=FOLDER"
        ) from error


def _check_data(
    section: ConfigDict,
    resolved: Mapping[str, Any],
    dataset: Dataset,
    split: str,
    intended: bool,
) -> tuple[str, ...]:
    """Compares the data with that of the run; returns remarks on the differences.

    Args:
      section: `data` of the config.
      resolved: the values that the run recorded.
      dataset: with the opened split.
      split: name of the split.
      intended: whether other test examples were requested.

    Raises:
      UserError: the data differs and no other data was requested.
    """
    stored = resolved.get("identity")
    differing = identity_differences(stored, dataset.identity) if stored else []
    if not differing:
        return ()
    remark = f"these are not the {split} examples of the run ({'; '.join(differing)})"
    if split != "test":
        raise UserError(f"--split={split}: {remark}; restore them, or use --split=test")
    if not intended:
        field = SOURCES[section.source].location or "path"
        raise UserError(
            f"--split=test: {remark}; restore them, or, to evaluate on other data, pass "
            f"--config.data.{field}=FOLDER"
        )
    return (remark,)
