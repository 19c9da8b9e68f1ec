"""Damaged checkpoints, files that may not grow, and full disks."""

import random
import resource
import shutil
import subprocess
from pathlib import Path

from benchmarks.faults.fault import Fault, Outcome
from benchmarks.faults.processes import Undisturbed, command, refused, start


def damage(folder: Path) -> Fault:
    """A byte of the newest checkpoint changed, a file of it cut or removed."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        shutil.copytree(folder / "undisturbed", workdir)
        (workdir / "result.json").unlink()
        newest = max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))
        files = sorted(f for f in newest.rglob("*") if f.is_file() and f.stat().st_size)
        file, kind = chance.choice(files), chance.choice(["flipped", "cut", "removed"])
        text = bytearray(file.read_bytes())
        if kind == "flipped":
            text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
            file.write_bytes(text)
        elif kind == "cut":
            file.write_bytes(text[: chance.randrange(len(text))])
        else:
            file.unlink()
        return calm.resume(workdir, f"{kind} {file.relative_to(newest)}")

    return Fault(attempt)


def small_files(folder: Path) -> Fault:
    """No file may grow beyond a limit, as on a full disk, at limits from nothing to enough."""
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        limit = int(10 ** chance.uniform(0, 5))

        def crowd() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        wrong = refused(start(*command(workdir), preexec_fn=crowd))
        return calm.resume(workdir, f"{limit} bytes", wrong)

    return Fault(attempt)


def full_disk(folder: Path) -> Fault | None:
    """A disk that is full, of sizes from nothing to enough; None without the right to mount one."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return None
    subprocess.run(["umount", str(disk)], check=True)
    calm = Undisturbed(folder / "undisturbed")

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        size = int(10 ** chance.uniform(3.7, 6.2))
        subprocess.run([*mount, "-o", f"size={size}"], check=True)
        try:
            wrong = refused(start(*command(disk / "run")))
            if (disk / "run").exists():
                shutil.copytree(disk / "run", workdir)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        return calm.resume(workdir, f"{size} bytes", wrong)

    return Fault(attempt)
