"""How commands end when somebody presses Ctrl-C, or no longer reads what they print."""

import os
import pty
import pwd
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from cnn.ablation.execution import worker
from cnn.config.entry import compilation_cache, describe
from cnn.config.errors import UserError
from cnn.data.sources.file_index import cache_folder, write_cache
from cnn.data.sources.tfds import data_folder
from cnn.training.mesh import check_platform
from configs.base import get_config
from tests.conftest import REPOSITORY, TINY

LISTS = (
    ["-m", "cnn.models"],
    ["-m", "cnn.layers"],
    ["-m", "cnn.layers", "--markdown"],
    ["-m", "cnn.evaluation"],
    ["-m", "cnn.cost", "--config.model.name=resnet20", "--layers"],
)


def begin(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("arguments", LISTS, ids=" ".join)
def test_a_reader_that_leaves_ends_a_command_quietly(arguments):
    process = begin(*arguments)
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "")


def wait_for_handlers(process):
    """Waits until the process catches SIGTERM, which Python does not do of itself."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        if caught & 1 << (signal.SIGTERM - 1):
            return
        time.sleep(0.001)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("later", "number"),
    [(0.0, signal.SIGINT), (0.4, signal.SIGTERM), (1.5, signal.SIGINT), (3.0, signal.SIGTERM)],
)
def test_a_signal_while_a_command_starts_is_one_line(tmp_path, number, later):
    fields = [f"--config.{text}" for text in (*TINY, "train.duration=100000 steps")]
    process = begin(
        "train.py", "--config=configs/base.py", f"--workdir={tmp_path / 'run'}", *fields
    )
    wait_for_handlers(process)
    time.sleep(later)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    # It may have come to its steps on a fast machine; then it saves one.
    assert errors == ("" if "the same command continues" in output else "stopped\n")


def screen(text):
    """Returns the lines that a terminal shows after a text, which may move up and erase lines."""
    lines, row = [""], 0
    for control, parameter, letter, plain in re.findall(
        r"(\x1b\[([?\d;]*)([A-Za-z])|\r|\n)|([^\x1b\r\n]+)", text
    ):
        if plain:
            column = 0 if lines[row].startswith("\r") else len(lines[row])
            lines[row] = lines[row][:column].removeprefix("\r") + plain
        elif control == "\r":
            lines[row] = "\r" + lines[row].removeprefix("\r")
        elif control == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif letter == "A":
            row -= int(parameter or 1)
        elif letter == "K":
            lines[row] = ""
    return [line.removeprefix("\r") for line in lines]


# Makes its standard input the terminal that Ctrl-C is pressed on.
ON_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
)


def press_ctrl_c(command, ready):
    """Runs a command on a terminal of its own, with Ctrl-C once it is ready; -> code, lines."""
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, *command],
        cwd=REPOSITORY,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "150", "LINES": "60"},
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        start_new_session=True,
    )
    os.close(its_end)
    shown, pressed = b"", False
    while True:
        try:
            shown += os.read(terminal, 1 << 16)
        except OSError:  # nobody holds its other end any more
            break
        if not pressed and ready(screen(shown.decode(errors="ignore"))):
            os.write(terminal, b"\x03")
            pressed = True
    os.close(terminal)
    return process.wait(), screen(shown.decode())


TRAIN = ("train.py", "--config=configs/base.py", *(f"--config.{text}" for text in TINY))
STUDY = ("ablate.py", "run", "--config=tests/ablation/study_tiny.py", "--workers=1")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("command", "bar"),
    [(TRAIN, r"step +\d+/100000 "), (STUDY, r"runs +\d+/12 ")],
    ids=["run", "study"],
)
def test_ctrl_c_on_a_terminal_leaves_one_bar_and_frees_the_run(tmp_path, command, bar):
    command = (*command, "--config.train.duration=100000 steps", f"--workdir={tmp_path / 'run'}")

    def bars(lines):
        return [line for line in lines if re.search(bar, line)]

    def ready(lines):
        return bars(lines) and list(tmp_path.rglob("metrics.jsonl"))

    code, lines = press_ctrl_c(command, ready)
    assert code == 128 + signal.SIGINT, lines
    assert "the same command continues" in " ".join(lines)
    assert len(bars(lines)) == 1, lines
    assert not list(tmp_path.rglob("owner.json"))
    assert list(tmp_path.rglob("checkpoints/*"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_second_signal_ends_a_command_that_is_busy():
    # A computation that never gives Python its turn, after the first signal was taken over.
    program = (
        "import hashlib, signal, sys\n"
        "from cnn.config.entry import run_command\n"
        "def main(arguments):\n"
        "    signal.signal(signal.SIGINT, lambda *_: None)\n"
        "    print('busy', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
        "run_command(main)\n"
    )
    process = begin("-c", program)
    assert process.stdout.readline() == "busy\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "stopped\n")


def test_a_program_of_somebody_else_keeps_its_signals(tmp_path):
    program = tmp_path / "train.py"
    program.write_text(
        "import signal, cnn\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
    )
    process = begin(
        "-c",
        f"import runpy, sys; sys.argv = [{str(program)!r}]\n"
        f"runpy.run_path({str(program)!r}, run_name='__main__')",
    )
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("place", "words"), [("file/inside", "Not a directory"), ("none", "No such file or directory")]
)
def test_what_the_system_refuses_is_one_sentence(tmp_path, place, words):
    program = (
        "import sys\n"
        "from cnn.config.entry import run_command\n"
        "run_command(lambda arguments: open(arguments[0]))\n"
    )
    (tmp_path / "file").touch()
    process = begin("-c", program, str(tmp_path / place))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    (line,) = errors.splitlines()
    assert line.startswith(f"error: {tmp_path / place}: {words}; ")


@pytest.mark.parametrize(
    ("closed", "printed"),
    [("1>&-", ""), ("2>&-", "K\\xe4uze\n"), ("0>&- 1>&- 2>&-", ""), ("", "K\\xe4uze\n")],
)
def test_streams_may_be_closed_or_take_only_ascii(closed, printed):
    program = (
        "import os, sys\n"
        "from cnn.config.entry import run_command\n"
        "def main(arguments):\n"
        "    print('K\\xe4uze')\n"
        "    print('K\\xe4uze', file=sys.stderr)\n"
        "    sys.stdin.read()\n"
        "    assert os.open(os.devnull, os.O_RDONLY) > 2\n"
        "run_command(main)\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "$1" </dev/null {closed}', sys.executable, program],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


def test_paths_are_utf8_whatever_the_locale(tmp_path):
    program = (
        "import sys\n"
        "from cnn.config.entry import run_command\n"
        "run_command(lambda arguments: open(arguments[0], 'w').write('\\u25cb' + arguments[1]))\n"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "K\xe4uze", "\xe4"],
        cwd=REPOSITORY,
        env=os.environ | ascii_only,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "K\xe4uze").read_bytes() == "\u25cb\xe4".encode()


def test_a_full_standard_error_leaves_the_exit_code():
    program = (
        "from cnn.config.entry import run_command\nrun_command(lambda arguments: open('/x/y'))"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, stderr=full)
    assert done.returncode == 2


@pytest.mark.parametrize(
    "start", [check_platform, partial(worker.main, "/", task="0/1", replicas="0", patience="60")]
)
@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ("cuda", AssertionError(), "JAX_PLATFORMS: .* of 'cuda' here; unset .* for cuda$"),
        ("cuda", RuntimeError("driver too old\nat x.cc"), "; unset .*; JAX says: driver too old$"),
        ("", RuntimeError("TPU in use"), "^JAX finds no device here; .*; JAX says: TPU in use$"),
    ],
)
def test_a_platform_without_devices_is_named(monkeypatch, start, asked, error, words):
    monkeypatch.setattr(worker, "stop_without", Mock())
    monkeypatch.setattr("sys.stdin", Mock())
    monkeypatch.setenv("JAX_PLATFORMS", asked)
    monkeypatch.setattr("jax.devices", Mock(side_effect=error))
    with pytest.raises(UserError, match=words):
        start()


def test_a_user_without_a_home_has_no_caches(monkeypatch, tmp_path):
    for variable in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR", "TFDS_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    monkeypatch.chdir(tmp_path)
    assert compilation_cache() is None
    write_cache(cache_folder() / "index.json", "{}")
    with pytest.raises(UserError, match=r"data\.data_dir: '~/tensorflow_datasets': no home folder"):
        data_folder(get_config().data)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_says_that_the_same_command_goes_on():
    assert "same command" in describe(OSError(28, "No space left on device", "x"))
