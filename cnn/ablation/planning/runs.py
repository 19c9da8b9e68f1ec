"""The runs that a study asks for, each with the folder it lives in."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cnn.ablation.planning.study_plan import StudyPlan
from cnn.config.json_file import digest
from cnn.config.load import Loaded, load

# First seeds of the A/A control and of tuning, far from any that a study lists.
AA_SEEDS = 1_000_000
_TUNING_SEEDS = 2_000_000


@dataclass(frozen=True)
class Run:
    """One training of a study.

    Attributes:
      arm: its arm.
      seed: its seed.
      folder: its run folder.
      config: the base config file.
      overrides: shared, of the network, of the arm, and the seed.
      network: its network; "" in a study of one.
      suites: measured after training.
      plugins: files that are loaded first.
    """

    arm: str
    seed: int
    folder: Path
    config: str
    overrides: tuple[str, ...]
    network: str = ""
    suites: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def load(self) -> Loaded:
        """Returns the run's config."""
        return load(self.config, self.overrides, self.plugins)


def folder_name(arm: str) -> str:
    """Returns the folder name of an arm: letters of any script, digits, and "_", "=", "+", "-"."""
    return re.sub(r"[^\w=+-]+", "_", unicodedata.normalize("NFC", arm))


def arms_of(plan: StudyPlan, workdir: Path) -> dict[str, list[Run]]:
    """Returns the runs of every arm of every network; the A/A control follows its baseline."""
    runs = {}
    for network in plan.networks or ("",):
        for name in plan.arms:
            runs[_full_name(network, name)] = _runs(plan, workdir, network, name, 0)
            if name == plan.baseline and plan.aa_arm:
                again = _runs(plan, workdir, network, name, AA_SEEDS)
                runs[_full_name(network, plan.aa_arm)] = again
    return runs


def arm_overrides(plan: StudyPlan, network: str, arm: str) -> tuple[str, ...]:
    """Returns an arm's own overrides, with its tuned settings."""
    return (*plan.arms[arm], *plan.tuned.get(_full_name(network, arm), ()))


def tuning_runs(plan: StudyPlan, workdir: Path) -> dict[str, list[list[Run]]]:
    """Returns the tuning runs of every arm, by its full name: a list per combination."""
    found = {}
    for network in plan.networks or ("",):
        for arm in plan.arms:
            own = (*plan.shared, *plan.networks.get(network, ()), *plan.arms[arm])
            folder = workdir / "tuning" / folder_name(network) / folder_name(arm)
            found[_full_name(network, arm)] = [
                [
                    Run(
                        arm=f"{arm}, {', '.join(setting)}",
                        seed=seed,
                        folder=_setting_folder(folder, i, setting) / f"seed-{seed}",
                        config=plan.config,
                        overrides=(*own, *setting, f"seed={seed}"),
                        network=network,
                        plugins=tuple(plan.plugins),
                    )
                    for seed in range(_TUNING_SEEDS, _TUNING_SEEDS + plan.tuning_seeds)
                ]
                for i, setting in enumerate(plan.settings)
            ]
    return found


def _setting_folder(folder: Path, i: int, setting: tuple[str, ...]) -> Path:
    """Returns the folder of a combination, named by its content.

    So its runs remain valid when values are added to the study or taken out.
    """
    numbered = folder / f"setting-{i}"  # as in studies of earlier versions
    if numbered.exists():
        return numbered
    parts = [text.partition("=") for text in setting]
    short = "+".join(f"{field.rpartition('.')[2]}={value}" for field, _, value in parts)
    return folder / f"{folder_name(short)[:60]}-{digest(sorted(setting))[:8]}"


def _full_name(network: str, arm: str) -> str:
    return f"{network}: {arm}" if network else arm


def _runs(plan: StudyPlan, workdir: Path, network: str, arm: str, first: int) -> list[Run]:
    name = plan.aa_arm if first else arm
    folder = workdir / folder_name(network) / folder_name(name)
    own = (*plan.shared, *plan.networks.get(network, ()), *arm_overrides(plan, network, arm))
    return [
        Run(
            arm=name,
            seed=first + seed,
            folder=folder / f"seed-{first + seed}",
            config=plan.config,
            overrides=(*own, f"seed={first + seed}"),
            network=network,
            suites=tuple(plan.suites),
            plugins=tuple(plan.plugins),
        )
        for seed in plan.seeds
    ]
