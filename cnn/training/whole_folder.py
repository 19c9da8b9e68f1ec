"""Folders that are written completely or not at all."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnn.config.errors import UserError
from cnn.training.ownership import is_alive
from cnn.training.run_folder import check_output


def check_free(target: Path, option: str) -> None:
    """Refuses a folder that something is in.

    Args:
      target: the folder that is to be written.
      option: that it was given with, such as "--out".

    Raises:
      UserError: it is not empty, is a file, or belongs to a run or a study.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{option}: {target} is not empty; choose another folder")
    check_output(target / "config.json", option)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Context of a folder beside `target`, which gets the name of that at the end.

    An error leaves nothing. What a killed process left is removed by the next one.

    Args:
      target: a folder that is not there yet, or is empty.
    """
    for left in target.parent.glob(f"{glob.escape(target.name)}.partial-*"):
        pid = left.name.rpartition("-")[2]
        if pid.isdecimal() and (int(pid) == os.getpid() or not is_alive(int(pid))):
            shutil.rmtree(left, ignore_errors=True)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        yield partial
        if target.is_dir():
            target.rmdir()
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
