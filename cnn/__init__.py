"""Convolutional networks: which downsampling, pooling or block, and is the difference real?"""

import sys

# What a command imports takes seconds, and this package is the first of it. `-m` stands there while
# a module is being found, as in `python -m cnn.models`.
if sys.argv and sys.argv[0].rpartition("/")[2] in ("-m", "train.py", "eval.py", "ablate.py"):
    from cnn.config.stop_signals import end_on_signals

    end_on_signals()

_LIBRARY = (
    "Predictions",
    "TrainedRun",
    "UserError",
    "build",
    "load_config",
    "load_plugins",
    "open_run",
    "run_metrics",
    "study_table",
)


def __getattr__(name: str) -> object:
    """Imports the library when something of it is asked for: that takes seconds."""
    if name not in _LIBRARY:
        raise AttributeError(f"module 'cnn' has no attribute '{name}'")
    from cnn import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted((*globals(), *_LIBRARY))
