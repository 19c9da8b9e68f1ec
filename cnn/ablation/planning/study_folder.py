"""The folder of a study: its plan, next to the run folders."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from cnn.ablation.planning.runs import arms_of, tuning_runs
from cnn.ablation.planning.study_plan import StudyPlan, check_types
from cnn.ablation.planning.units import unit_names
from cnn.ablation.statistics.sequential import AnalysisSchedule
from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError
from cnn.config.json_file import check_seal, is_kind, read_json, read_texts, seal
from cnn.config.record import differences
from cnn.training.run_folder import RunFolder, check_name

# What decides the verdicts may not change once there are results.
FROZEN = (
    "baseline",
    "margin",
    "metric",
    "paired",
    "population",
    "unit",
    "factors",
    "tune",
    "tuning_seeds",
    "race",
    "match",
    "matched",
    "repeat_baseline",
)


_DESCRIPTION = {
    "plan": dict,
    "plan.name": str,
    "plan.config": str,
    "plan.arms": dict,
    "plan.baseline": str,
    "plan.seeds": list,
    "plan.margin": float,
    "file": str,
    "text": str,
    "overrides": list,
    "analyses": list,
    "planned": int,
    "began_with": list,
}


@dataclass(frozen=True)
class StudyFolder:
    """The folder that a study runs in; `study.json` holds what its workers and reports need.

    Attributes:
      path: of the folder.
    """

    path: Path

    @property
    def file(self) -> Path:
        """The description of the study."""
        return self.path / "study.json"

    @property
    def units_file(self) -> Path:
        """The independent unit of each test example."""
        return self.path / "units.json"

    @property
    def tuning_file(self) -> Path:
        """The settings that every arm tried, and the one that it uses."""
        return self.path / "tuning.json"

    def tuning(self) -> dict[str, Any]:
        """Reads full name of an arm -> {"chosen", "tried"}; {} before the arms are tuned.

        Raises:
          UserError: the file is damaged.
        """
        if not self.tuning_file.is_file():
            return {}
        found = read_json(self.tuning_file)
        for arm, tuning in found.items():
            if not _is_tuning(tuning):
                raise UserError(
                    f"{self.tuning_file}: what it says of arm '{arm}' is not what ablate.py wrote; "
                    "restore the file from a copy"
                )
        return found

    def begin(self, plan: StudyPlan, config: str, overrides: Sequence[str]) -> None:
        """Records the plan; arms and seeds may be added to a study with results.

        Added seeds lead to one more analysis of the same study. What decides the verdicts is frozen
        from the first result on.

        Raises:
          UserError: the folder has a name that no run can have; or it holds runs of another config
            under the same names, or something else; or the plan changes the decision rule of a
            study that has results.
        """
        check_name(self.path)
        there = self.path.iterdir() if self.path.exists() else ()
        # Another task of the same study may be writing its description right now.
        strangers = any(file.suffix != ".partial" for file in there)
        if strangers and not self.file.exists():
            raise UserError(
                f"--workdir: {self.path} is not empty and holds no study; choose another folder"
            )
        if self.tuning_file.is_file() and list(plan.arms) != list(self.plan().arms):
            raise UserError(
                f"arms: the study in {self.path} is tuned, and others were not; choose another "
                "folder"
            )
        self._check_runs(plan)
        description = {
            "plan": asdict(plan) | {"seeds": list(plan.seeds)},
            "file": config,
            "text": Path(config.partition(":")[0]).read_text("utf-8"),
            "overrides": list(overrides),
            **self._analyses(plan),
        }
        if plan.unit and not (self._has_begun() and self.units_file.exists()):
            write_atomically(self.units_file, json.dumps(unit_names(plan)) + "\n")
        write_atomically(self.file, json.dumps(seal(description), indent=2) + "\n")

    def _check_runs(self, plan: StudyPlan) -> None:
        """Refuses runs of another config in the folders of this plan's runs."""
        tried = chain.from_iterable(tuning_runs(plan, self.path).values())
        for run in chain(*arms_of(self._tuned(plan), self.path).values(), *tried):
            folder = RunFolder(run.folder)
            if not folder.config_file.is_file():
                continue
            if differing := differences(folder.config(), run.load().config):
                raise UserError(
                    f"--workdir: {run.folder} holds a run with another config: "
                    f"{'; '.join(differing)}; choose another folder or the same study"
                )

    def _analyses(self, plan: StudyPlan) -> dict[str, Any]:
        """Returns when the study is analyzed, and the arms that it began with."""
        fresh = {
            "analyses": list(plan.analyses),
            "planned": len(plan.analyses),
            "began_with": list(plan.arms),
        }
        if not self._has_begun():
            return fresh
        known, before = self.description(), self.plan()
        for name in FROZEN:
            old, new = getattr(before, name), getattr(plan, name)
            if json.dumps(old) != json.dumps(new):  # JSON turns tuples into lists.
                raise UserError(
                    f"{name}: {old!r} -> {new!r}: the study in {self.path} has results, so what "
                    "decides its verdicts is frozen; choose another folder"
                )
        seeds, more, analyses = list(before.seeds), list(plan.seeds), known["analyses"]
        if more[: len(seeds)] != seeds:
            raise UserError(
                f"seeds: {seeds} -> {more}: the study in {self.path} has results, so seeds can be "
                "added at the end and not taken away; choose another folder"
            )
        if len(more) > len(seeds):
            analyses = [*analyses, len(more)]
        ahead = list(plan.looks)
        if ahead and ahead != analyses:
            raise UserError(
                f"looks: {ahead}: the study in {self.path} has results and is analyzed at "
                f"{analyses} seeds; use the same, or choose another folder"
            )
        return {name: known[name] for name in fresh} | {"analyses": analyses}

    def _has_begun(self) -> bool:
        """Whether there is something that a change of the plan would reinterpret."""
        return self.file.is_file() and (self.has_results() or self.tuning_file.is_file())

    def has_results(self) -> bool:
        """Whether any run has finished, diverged or crashed."""
        all_runs = chain.from_iterable(arms_of(self.plan(), self.path).values())
        folders = (RunFolder(run.folder) for run in all_runs)
        return any(f.result_file.exists() or f.failure_file.exists() for f in folders)

    def schedule(self) -> AnalysisSchedule:
        """Returns when the study is analyzed: as planned, and at the seeds that were added."""
        description = self.description()
        return AnalysisSchedule(tuple(description["analyses"]), description["planned"])

    def changes(self) -> tuple[str, ...]:
        """Returns what changed in the arms of the study since its first result."""
        began, now = self.description()["began_with"], self.plan().arms
        changed = {name: "was added" for name in now if name not in began}
        changed |= {name: "was left out" for name in began if name not in now}
        return tuple(f"arm '{n}' {what} after the first results" for n, what in changed.items())

    def units(self) -> np.ndarray | None:
        """Returns the index of the unit of each test example; None if all are independent."""
        if not self.plan().unit:
            return None
        if not self.units_file.is_file():
            raise UserError(
                f"{self.units_file}: is missing; copy it from the folder in which the study ran"
            )
        names, indices = np.unique(read_texts(self.units_file), return_inverse=True)
        if len(names) < 2:
            raise UserError(
                f"{self.units_file}: names fewer than two units; restore the file from a copy"
            )
        return indices

    def matched(self, config: str, overrides: Sequence[str]) -> StudyPlan | None:
        """Returns the plan whose arms were matched by time here, if it is of the same study.

        A new measurement would match them slightly differently.
        """
        if not self.file.is_file():
            return None
        description, plan = self.description(), self.plan()
        asked = (config, Path(config.partition(":")[0]).read_text("utf-8"), list(overrides))
        same = asked == (description["file"], description["text"], description["overrides"])
        return plan if same and "time" in (plan.match, plan.matched) else None

    def description(self) -> dict[str, Any]:
        """Reads {"plan", "file", "text", "overrides", "analyses", "planned", "began_with"}.

        Raises:
          UserError: the folder holds no study, or its description was edited.
        """
        if not self.file.is_file():
            raise UserError(
                f"--workdir: there is no study in {self.path} (no study.json); start one with: "
                f"python ablate.py run --config=STUDY --workdir={self.path}"
            )
        description = read_json(self.file, _DESCRIPTION)
        check_seal(self.file, description, "Another margin, metric or baseline is another study")
        return description

    def plan(self) -> StudyPlan:
        """Reads the plan, with the tuned settings of its arms.

        Raises:
          UserError: as in `description` and `tuning`, or the tuning is that of another study.
        """
        description = self.description()
        try:
            plan = StudyPlan(**description["plan"])
            check_types(plan, "plan")
        except (TypeError, UserError) as error:
            raise UserError(
                f"{self.file}: the field 'plan' is not as ablate.py wrote it ({error}); restore "
                "the file from a copy"
            ) from error
        tuning = self.tuning()
        known = all(tuple(one["chosen"]) in plan.settings for one in tuning.values())
        if tuning and not (known and tuning.keys() == tuning_runs(plan, self.path).keys()):
            raise UserError(
                f"{self.tuning_file}: is the tuning of other arms or settings than {self.file} "
                "has; restore the file from a copy"
            )
        return self._tuned(plan)

    def _tuned(self, plan: StudyPlan) -> StudyPlan:
        return replace(plan, tuned={arm: tuning["chosen"] for arm, tuning in self.tuning().items()})

    def command(self, path: Path | None = None) -> str:
        """Returns the command that ran the study; in another folder, such as that of a copy."""
        description = self.description()
        given = [f"--config.{text}" for text in description["overrides"]]
        here, place = Path.cwd(), path or self.path
        place = place.relative_to(here) if place.is_relative_to(here) else place
        words = [f"--config={description['file']}", f"--workdir={place}", *given]
        return f"python ablate.py run {shlex.join(words)}"


def _is_tuning(value: Any) -> bool:
    """Whether a value read from JSON is what `tuning.choose_settings` writes of an arm."""
    chosen, tried = (value.get(n) if isinstance(value, dict) else None for n in ("chosen", "tried"))
    return (
        _are(str, chosen)
        and _are(dict, tried)
        and all(
            _are(str, one.get("overrides")) and _are((float, NoneType), one.get("values"))
            for one in tried
        )
    )


def _are(kind: type | tuple[type, ...], values: Any) -> bool:
    return isinstance(values, list) and all(is_kind(value, kind) for value in values)
