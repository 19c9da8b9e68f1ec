"""Files and folders that are written completely or not at all."""

import os
import socket

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


def test_a_folder_is_written_by_one_living_process_at_a_time(tmp_path):
    host = socket.gethostname()
    living = tmp_path / f"out.partial-{host}-{os.getppid()}"
    for left in (f"{host}-99999999", "another-host-99999999"):
        (tmp_path / f"out.partial-{left}").mkdir()
    living.mkdir()
    with (
        pytest.raises(UserError, match=f"out: process {os.getppid()} is writing it; wait"),
        whole_folder(tmp_path / "out"),
    ):
        pass
    living.rmdir()
    with whole_folder(tmp_path / "out") as partial:
        (partial / "file").touch()
    assert sorted(os.listdir(tmp_path)) == ["out", "out.partial-another-host-99999999"]
    assert os.listdir(tmp_path / "out") == ["file"]


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
