"""Claims: one worker a run, and the runs of dead workers are taken over once."""

import errno
import json
import os
import threading
import time
from contextlib import nullcontext

import pytest

from cnn.config.errors import UserError
from cnn.training import ownership
from cnn.training.ownership import Ownership, is_held_by, owned, owner_file, who

ELSEWHERE = {"machine": "another", "host": "h2", "pid": 1, "id": "x", "since": 1.0}


def leave(folder, owner, age=0.0):
    """Writes an owner file as a worker leaves it that was seen last `age` seconds ago."""
    file = owner_file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(owner))
    then = time.time() - age
    os.utime(file, (then, then))


def here(pid):
    return ELSEWHERE | {"machine": ownership._machine(), "pid": pid, "id": "y"}


def wait_for_heartbeat(folder):
    """Waits until the owner touches its file again, which is made old."""
    old = time.time() - 1000
    os.utime(owner_file(folder), (old, old))
    deadline = time.monotonic() + 20
    while owner_file(folder).stat().st_mtime < old + 500:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def dead_pid():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_one_of_several_holds_a_run_and_gives_it_back(tmp_path):
    folder = tmp_path / "arm" / "seed-0"
    with Ownership(folder) as first, Ownership(folder) as second:
        assert first.held
        assert not second.held
        assert is_held_by(folder, os.getpid())
        assert not is_held_by(folder, os.getpid() + 1)
    with Ownership(folder) as third:
        assert third.held
    assert not folder.exists()


@pytest.mark.parametrize(
    ("owner", "age", "held", "silent"),
    [
        (ELSEWHERE, 0, False, False),
        (ELSEWHERE, 30, False, True),
        (ELSEWHERE, 120, True, False),
        (ELSEWHERE, -3600, False, True),
        (here(os.getpid()), 0, False, False),
        (here(dead_pid()), 0, True, False),
        (ELSEWHERE | {"pid": dead_pid()}, 0, False, False),
    ],
)
def test_a_claim_is_taken_over_when_its_worker_is_dead(tmp_path, owner, age, held, silent):
    folder = tmp_path / "seed-0"
    leave(folder, owner, age)
    with Ownership(folder) as mine:
        assert (mine.held, mine.silent) == (held, silent)
    assert folder.exists() != held
    assert set(tmp_path.glob("*/*")) <= {owner_file(folder)}


def test_without_links_claims_work_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    folder = tmp_path / "seed-0"
    with Ownership(folder) as first, Ownership(folder) as second:
        assert (first.held, second.held) == (True, False)
    folder.mkdir()
    owner_file(folder).write_text("")
    with Ownership(folder) as fresh:
        assert not fresh.held
    os.utime(owner_file(folder), (0, 0))
    with Ownership(folder) as takeover:
        assert takeover.held


def test_one_of_many_takes_a_dead_claim_over(tmp_path):
    workers, rounds = 8, 20
    for i in range(rounds):
        folder = tmp_path / f"seed-{i}"
        leave(folder, ELSEWHERE, 120)
        barrier, held = threading.Barrier(workers), []

        def compete(folder=folder, barrier=barrier, held=held):
            barrier.wait()
            with Ownership(folder) as mine:
                held.append(mine.held)
                barrier.wait()

        threads = [threading.Thread(target=compete) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(held) == 1


def test_a_late_heir_leaves_the_new_claim_alone(tmp_path):
    folder = tmp_path / "seed-0"
    leave(folder, ELSEWHERE, 120)
    slow = Ownership(folder)
    with Ownership(folder) as quick:
        slow._take_over(ELSEWHERE)  # judged dead before `quick` took over
        assert quick.held
        assert not slow.held
        assert is_held_by(folder, os.getpid())


def test_a_worker_that_slept_too_long_learns_that_its_run_is_anothers(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "HEARTBEAT", 0.01)
    folder, lost = tmp_path / "seed-0", threading.Event()
    with Ownership(folder, lost.set) as sleeper:
        assert sleeper.held
        leave(folder, ELSEWHERE)
        assert lost.wait(20)
    assert json.loads(owner_file(folder).read_text()) == ELSEWHERE


def test_a_process_whose_folder_is_gone_says_so_and_ends(tmp_path, monkeypatch, capsys):
    codes, folder = [], tmp_path / "seed-0"
    monkeypatch.setattr(os, "_exit", codes.append)
    Ownership(folder)._end()
    assert codes == [2]
    assert capsys.readouterr().err.startswith(f"error: --workdir: {folder} was moved or removed")


def test_signs_of_life_keep_a_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "HEARTBEAT", 0.01)
    folder = tmp_path / "seed-0"
    with Ownership(folder) as owner:
        wait_for_heartbeat(folder)
        assert owner.held
        assert is_held_by(folder, os.getpid())


def test_a_file_that_cannot_be_read_for_a_while_keeps_a_claim(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership, "HEARTBEAT", 0.01)
    failed, read = threading.Event(), ownership.read_json

    def fails_once(*arguments):
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "Input/output error")
        return read(*arguments)

    folder = tmp_path / "seed-0"
    with Ownership(folder):
        monkeypatch.setattr(ownership, "read_json", fails_once)
        assert failed.wait(20)
        wait_for_heartbeat(folder)


@pytest.mark.parametrize(
    "edit",
    [
        {"since": "x"},
        {"since": 1e300},
        {"pid": 10**24},
        {"pid": -1},
        {"pid": None},
        {"host": 3},
        {"host": ...},
    ],
)
def test_an_edited_claim_belongs_to_an_unknown_process(tmp_path, edit):
    owner = {name: value for name, value in (here(1) | edit).items() if value is not ...}
    leave(tmp_path, owner)
    assert who(tmp_path).startswith("process 0 on ?")
    assert not Ownership(tmp_path).__enter__().held
    leave(tmp_path, owner, age=120)
    with Ownership(tmp_path) as heir:
        assert heir.held


def test_a_folder_of_another_process_is_refused_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(ownership.time, "sleep", lambda _: os.utime(owner_file(tmp_path)))
    leave(tmp_path, ELSEWHERE)
    with pytest.raises(UserError, match=r"process 1 on h2 \(since 1970"), owned(tmp_path):
        pass
    leave(tmp_path, here(os.getpid()))
    monkeypatch.setattr(ownership.time, "sleep", None)
    with pytest.raises(UserError, match=f"process {os.getpid()} on h2"), owned(tmp_path):
        pass


def test_a_folder_of_a_silent_process_is_waited_for(tmp_path, monkeypatch):
    """Started again on another host before its owner counts as dead."""
    waited = []

    def age(seconds):
        waited.append(seconds)
        old = time.time() - 10 * len(waited)
        os.utime(owner_file(tmp_path), (old, old))

    leave(tmp_path, ELSEWHERE, 30)
    monkeypatch.setattr(ownership.time, "sleep", age)
    with owned(tmp_path):
        assert is_held_by(tmp_path, os.getpid())
        with owned(tmp_path):
            pass
        assert is_held_by(tmp_path, os.getpid())
    assert not owner_file(tmp_path).exists()
    assert len(waited) > 1


@pytest.mark.parametrize("alive", [True, False])
def test_an_owner_whose_clock_was_set_back_is_watched(tmp_path, monkeypatch, capsys, alive):
    now = 0.0

    def wait(seconds):
        nonlocal now
        now += seconds
        if alive:
            os.utime(owner_file(tmp_path))

    leave(tmp_path, ELSEWHERE, -3600)
    monkeypatch.setattr(ownership.time, "sleep", wait)
    monkeypatch.setattr(ownership.time, "monotonic", lambda: now)
    refusal = pytest.raises(UserError, match="is being trained by process 1 on h2")
    with refusal if alive else nullcontext(), owned(tmp_path):
        assert ownership.DEAD_AFTER < now < ownership.DEAD_AFTER + 3
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path} is claimed by process 1 on h2 (since 1970")
