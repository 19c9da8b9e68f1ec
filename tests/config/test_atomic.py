"""Files and folders that are written completely or not at all."""

import errno
import fcntl
import os
import re
import socket
from unittest.mock import Mock

import pytest

from cnn.config.atomic import whole_file, whole_folder, write_atomically
from cnn.config.errors import UserError


@pytest.mark.parametrize("error", [OSError, UnicodeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    file = tmp_path / "a.txt"
    write_atomically(file, "old ○")

    def fail():
        with whole_file(file) as partial:
            partial.write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert os.listdir(tmp_path) == ["a.txt"]
    assert file.read_bytes() == "old ○".encode()


def fill(folder):
    with whole_folder(folder) as partial:
        (partial / "file").touch()


def test_a_folder_is_written_by_one_living_process_at_a_time(tmp_path):
    here, other = (f"out.partial-{host}" for host in (socket.gethostname(), "another-host"))
    for left in (here, other):
        (tmp_path / left).mkdir()
        (tmp_path / left / "part").touch()
    with whole_folder(tmp_path / "out") as partial:
        assert partial == tmp_path / here
        (partial / "file").touch()
        with pytest.raises(UserError, match="out: another process is writing it; wait"):
            fill(tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out", other]
    assert os.listdir(tmp_path / "out") == ["file"]


def test_where_there_are_no_locks_what_is_left_is_named_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=OSError(errno.ENOLCK, "No locks")))
    left = tmp_path / f"out.partial-{socket.gethostname()}"
    left.mkdir()
    with pytest.raises(UserError, match=f"if there is none, delete {re.escape(str(left))}"):
        fill(tmp_path / "out")
    left.rmdir()
    fill(tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("third", [False, True])
def test_a_folder_that_is_finished_before_its_lock_is_taken_is_left_alone(
    tmp_path, monkeypatch, third
):
    """Its writer renames it once it was opened here, and perhaps a third process begins one."""
    partial = tmp_path / f"out.partial-{socket.gethostname()}"
    partial.mkdir()
    flock, locks = fcntl.flock, []

    def late(descriptor, operation):
        monkeypatch.undo()
        partial.rename(tmp_path / "theirs")
        if third:
            partial.mkdir()
            locks.append(os.open(partial, os.O_RDONLY))
            flock(locks[0], operation)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    if third:
        with pytest.raises(UserError, match="another process is writing it"):
            fill(tmp_path / "out")
        os.close(locks[0])
        assert sorted(os.listdir(tmp_path)) == [partial.name, "theirs"]
    else:
        fill(tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == ["out", "theirs"]


@pytest.mark.parametrize("error", [None, ValueError("damaged")])
def test_a_folder_that_a_host_of_the_same_name_began_instead_is_left_alone(tmp_path, error):
    def replaced():
        with whole_folder(tmp_path / "out") as partial:
            partial.rename(tmp_path / "mine")
            partial.mkdir()
            (partial / "theirs").touch()
            if error:
                raise error

    with pytest.raises(type(error) if error else UserError, match=r"damaged|removed what was"):
        replaced()
    assert sorted(os.listdir(tmp_path)) == ["mine", f"out.partial-{socket.gethostname()}"]
    assert os.listdir(tmp_path / f"out.partial-{socket.gethostname()}") == ["theirs"]


def test_what_another_process_wrote_meanwhile_is_kept(tmp_path):
    def race():
        with whole_folder(tmp_path / "out") as partial:
            (partial / "mine").touch()
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs").touch()

    with pytest.raises(UserError, match="another process has written it meanwhile"):
        race()
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(tmp_path / "out") == ["theirs"]


def test_a_link_to_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with whole_folder(tmp_path / "link") as partial:
        (partial / "file").touch()
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "real") == ["file"]
