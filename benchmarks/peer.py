"""A process beside this one, that makes a step of its own whenever it is told to."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cnn.config.errors import UserError

_DONE = "done\n"


class Peer:
    """A process that runs `serve`.

    Args:
      command: starts it.
      environment: variables that it gets besides this process's own.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
        self._process = subprocess.Popen(
            command,
            env=os.environ | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        """Returns its next line, such as what it is; waits for it.

        Raises:
          RuntimeError: it has ended.
        """
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self._process.args[1]} ended")
        return line

    def begin(self) -> None:
        """Has it begin a step."""
        self._process.stdin.write("step\n")
        self._process.stdin.flush()

    def finish(self) -> None:
        """Waits for the step it has begun; raises `RuntimeError` when it fails."""
        if self.says() != _DONE:
            raise RuntimeError(f"the process of {self._process.args[1]} does not step")

    def step(self) -> None:
        """Has it make one step."""
        self.begin()
        self.finish()

    def stop(self) -> None:
        """Ends it."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def serve(step: Callable[[], Any]) -> None:
    """Makes a finished step for every line of the input, until it closes."""
    for _ in sys.stdin:
        step()
        print(_DONE, end="", flush=True)


def torch_version(python: str) -> dict[str, str]:
    """Returns the version of PyTorch that a Python has, {} for no Python.

    Raises:
      UserError: there is no such Python, or no PyTorch in it.
    """
    if not python:
        return {}
    asked = [python, "-c", "import torch; print(torch.__version__)"]
    try:
        output = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f"--torch-python: '{python}' cannot import torch; give a Python of an environment "
            "with torch in it, or leave the flag out"
        ) from error
    return {"torch": output.strip()}
