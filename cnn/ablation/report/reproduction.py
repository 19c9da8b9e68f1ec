"""How to reproduce a study."""

from cnn.ablation.analysis.study_results import Study


def reproduction_facts(study: Study) -> list[tuple[str, str]]:
    """How to reproduce: (term, value) of what is known."""
    versions = ", ".join(f"{name} {version}" for name, version in study.versions.items())
    facts = [
        ("Command", study.command),
        ("Base config", study.base_config),
        ("Commit", study.commit),
        ("Hardware", study.hardware),
        ("Versions", versions),
    ]
    return [fact for fact in facts if fact[1]]
