"""A study's folder describes itself: what was asked for, beside the run folders."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cnn.ablation.planning.study_plan import StudyPlan, arms_of
from cnn.config.errors import UserError
from cnn.config.record import differences
from cnn.training.run_folder import RunFolder, write_atomically


@dataclass(frozen=True)
class StudyFolder:
    """The folder that a study runs in; `study.json` holds what its workers and reports need.

    Attributes:
      path: of the folder.
    """

    path: Path

    @property
    def file(self) -> Path:
        """Where the description lies."""
        return self.path / "study.json"

    def begin(self, plan: StudyPlan, config: str, overrides: Sequence[str]) -> None:
        """Writes down what is asked for; arms and seeds may be added to a study that has begun.

        Raises:
          UserError: the folder holds runs of another config by the same names, or something else.
        """
        there = self.path.iterdir() if self.path.exists() else ()
        # Another task of the same study may be writing its description right now.
        strangers = any(file.suffix != ".partial" for file in there)
        if strangers and not self.file.exists():
            raise UserError(
                f"--workdir: {self.path} is not empty and holds no study; choose another folder"
            )
        for runs in arms_of(plan, self.path).values():
            for run in runs:
                folder = RunFolder(run.folder)
                if not folder.config_file.is_file():
                    continue
                if differing := differences(folder.config(), run.load().config):
                    raise UserError(
                        f"--workdir: {run.folder} holds a run with another config: "
                        f"{'; '.join(differing)}; choose another folder or the same study"
                    )
        description = {
            "plan": asdict(plan) | {"seeds": list(plan.seeds)},
            "file": config,
            "text": Path(config.partition(":")[0]).read_text(),
            "overrides": list(overrides),
        }
        write_atomically(self.file, json.dumps(description, indent=2) + "\n")

    def matched(self, config: str, overrides: Sequence[str]) -> StudyPlan | None:
        """Returns the plan whose arms were matched by time here, if it is of the same study.

        Measured again, they would come out a little different.
        """
        if not self.file.is_file():
            return None
        said, plan = self.description(), self.plan()
        asked = (config, Path(config.partition(":")[0]).read_text(), list(overrides))
        same = asked == (said["file"], said["text"], said["overrides"])
        return plan if same and plan.match == "time" else None

    def description(self) -> dict[str, object]:
        """Reads {"plan", "file", "text", "overrides"}.

        Raises:
          UserError: the folder holds no study.
        """
        if not self.file.is_file():
            raise UserError(
                f"--workdir: there is no study in {self.path} (no study.json); start one with: "
                f"python ablate.py run --config=STUDY --workdir={self.path}"
            )
        return json.loads(self.file.read_text())

    def plan(self) -> StudyPlan:
        """Reads the plan."""
        return StudyPlan(**self.description()["plan"])

    def command(self) -> str:
        """Returns the command that made the study."""
        said = self.description()
        given = [f"--config.{text}" for text in said["overrides"]]
        words = [f"--config={said['file']}", f"--workdir={self.path.name}", *given]
        return f"python ablate.py run {shlex.join(words)}"
