"""The commands train, eval and ablate: flags to calls, and no logic."""
