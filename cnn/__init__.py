"""Convolutional networks: which downsampling, pooling or block, and is the difference real?

The library, imported on first use (details: `help(cnn.open_run)` etc.):

    build(name, num_classes, **fields)     a network
    train(config, workdir)                 trains a run, or continues it
    open_run(workdir)                      a trained network: predict, feature_maps, prepare
    run_metrics(workdir)                   what a run logged
    study_table(workdir)                   the results of a study, a row per arm
    load_config(file, overrides)           a complete config
    load_plugins(files)                    registers the operators, networks, ... of your files

`open_run` returns a `TrainedRun`, its `predict` `Predictions`; invalid input raises `UserError`.
"""

import os
import sys


def _is_command() -> bool:
    """Whether this process is one of this package's commands, and not somebody's own program."""
    script = sys.argv[0] if sys.argv else ""
    if script == "-m":
        # What stands there while a module is being found, as in `python -m cnn.models`.
        return any(word.partition(".")[0] == "cnn" for word in sys.orig_argv)
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    scripts = ("train.py", "eval.py", "ablate.py")
    return os.path.abspath(script) in {os.path.join(here, name) for name in scripts}


if _is_command():
    # What a command imports takes seconds, and this package is the first of it.
    from cnn.config.stop_signals import end_on_signals

    end_on_signals()

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


def __getattr__(name: str) -> object:
    """Imports the library when something of it is asked for: that takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module 'cnn' has no attribute '{name}'")
    from cnn import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted((*globals(), *__all__))
