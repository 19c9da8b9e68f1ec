"""SIGKILL before a chosen file operation of a command."""

import random
import re
import signal
from pathlib import Path

from benchmarks.faults.processes import start

# Kills a command before its n-th file operation below a folder, as Python announces them.
KILL_AT = """
import importlib, os, signal, sys
place, folder, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
left = place
def count(event, arguments):
    global left
    paths = [a for a in arguments if isinstance(a, str | os.PathLike)]
    if event in EVENTS and any(os.fspath(p).startswith(folder) for p in paths):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.utime"}
sys.addaudithook(count)
sys.argv = sys.argv[3:]
sys.path.insert(0, ".")
main = importlib.import_module(f"cnn.commands.{name.removesuffix('.py')}").main
from cnn.config.entry import run_command
def counted(arguments):
    try:
        main(arguments)
    finally:
        print("operations", place - left, flush=True)
run_command(counted)
"""


def operations(folder: Path, arguments: list[str]) -> int:
    """Returns the number of file operations of a command below a folder."""
    output, errors = start("-c", KILL_AT, str(10**9), str(folder), *arguments).communicate()
    found = re.search(r"operations (\d+)", output)
    if not found:
        raise RuntimeError(errors)
    return int(found[1])


def killed_before(place: int, folder: Path, arguments: list[str]) -> str:
    """Kills a command before one of its file operations; returns what went wrong with that."""
    process = start("-c", KILL_AT, str(place), str(folder), *arguments)
    _, errors = process.communicate()
    if process.returncode in (-signal.SIGKILL, 0):
        return ""
    return f"code {process.returncode}, {errors[-300:]}; "


def shuffled_places(count: int) -> list[int]:
    """Returns the numbers from 1 to count in a fixed random order."""
    return random.Random(count).sample(range(1, count + 1), count)
