"""Preregistration: what decides the verdicts of a study, frozen before training, with a hash."""

import json
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

from cnn.ablation.planning.runs import arms_of
from cnn.ablation.planning.study_folder import StudyFolder
from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.atomic import write_atomically
from cnn.config.errors import UserError
from cnn.config.json_file import digest, read_json
from cnn.config.record import fingerprint
from cnn.training.run_folder import RunFolder

FILE = "registration.json"
_RECORD = {"sha256": str, "content": dict}


def register_study(folder: StudyFolder, plan: StudyPlan, config: str, overrides: list[str]) -> str:
    """Creates a study and records what is frozen; returns its SHA-256.

    Raises:
      UserError: a run of the study has begun, or the folder registers another study.
    """
    for runs in arms_of(plan, folder.path).values():
        for run in runs:
            if RunFolder(run.folder).path.exists():
                raise UserError(
                    f"--workdir: {run.folder} has begun; a study is registered before training"
                )
    content = _content(plan)
    file = folder.path / FILE
    if file.is_file() and read_json(file, _RECORD)["content"] != content:
        raise UserError(f"--workdir: {file} registers another study; choose another folder")
    folder.begin(plan, config, overrides)
    record = {"sha256": digest(content), "content": content}
    write_atomically(file, json.dumps(record, indent=2) + "\n")
    return record["sha256"]


def registration(folder: StudyFolder) -> tuple[str, tuple[str, ...]]:
    """Returns the hash of a registered study and the changes since; ("", ()) if unregistered.

    Raises:
      UserError: the registration itself is damaged or was changed.
    """
    file = folder.path / FILE
    if not file.is_file():
        return "", ()
    record = read_json(file, _RECORD)
    now = _content(folder.plan())
    if digest(record["content"]) != record["sha256"]:
        raise UserError(f"{file}: its hash does not match its content: the file was changed")
    before = _defaults() | record["content"]
    changed = tuple(
        f"{name}: {before.get(name)} -> {now.get(name)} since it was registered"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )
    return record["sha256"], changed


def _content(plan: StudyPlan) -> dict[str, Any]:
    """Returns what decides the verdicts: the plan, and the config of every arm before tuning."""
    plan = replace(plan, tuned={})
    configs = {
        name: fingerprint(runs[0].load().config) for name, runs in arms_of(plan, Path()).items()
    }
    content = asdict(plan) | {"seeds": list(plan.seeds), "configs": configs}
    del content["name"]
    return json.loads(json.dumps(content))


def _defaults() -> dict[str, Any]:
    """Values of the fields that a plan has gained since an older registration."""
    known = {f.name: f.default for f in fields(StudyPlan) if f.default is not MISSING}
    made = (f for f in fields(StudyPlan) if f.default_factory is not MISSING)
    return json.loads(json.dumps(known | {f.name: f.default_factory() for f in made}))
