"""The loss of one process of a run on two hosts."""

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

from benchmarks.faults.fault import Fault, Outcome
from benchmarks.faults.processes import LIVES_ON, command, content, start


def hosts(folder: Path) -> Fault:
    """One of two processes of a run killed, or asked to stop, at a random step."""

    def both(workdir: Path) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
        return [
            start(
                *command(workdir, "mesh.devices=0"),
                f"--hosts=127.0.0.1:{port},2,{index}",
                env=os.environ | flags,
            )
            for index in range(2)
        ]

    def end(
        processes: list[subprocess.Popen], within: float | None = None
    ) -> tuple[list[int], list[str]]:
        """Waits for the end of both; kills what lives on, whose code is that of SIGKILL."""
        output = []
        for process in processes:
            try:
                output.append(process.communicate(timeout=within)[1])
            except subprocess.TimeoutExpired:
                process.kill()
                output.append(process.communicate()[1])
        return [process.returncode for process in processes], output

    end(both(folder / "undisturbed"))
    wanted = content(folder / "undisturbed")
    logged = (folder / "undisturbed" / "metrics.jsonl").stat().st_size

    def attempt(workdir: Path, chance: random.Random, number: int) -> Outcome:
        host, chosen = number % 2, (signal.SIGKILL, signal.SIGTERM)[number // 2 % 2]
        file, size = workdir / "metrics.jsonl", chance.uniform(0.0, 0.9 * logged)
        processes = both(workdir)
        while processes[host].poll() is None and not (
            file.exists() and file.stat().st_size >= size
        ):
            time.sleep(0.002)
        processes[host].send_signal(chosen)
        begun = time.monotonic()
        codes, output = end(processes, LIVES_ON)
        seconds, lost = time.monotonic() - begun, []
        # A lost host is told by code 3, and a signal to one is obeyed by both.
        promised = 3 if chosen == signal.SIGKILL else 128 + chosen
        if codes[1 - host] != promised:
            lost.append(f"{chosen.name} to host {host}: codes {codes} {output[1 - host][-300:]}")
        codes, output = end(both(workdir))
        if codes != [0, 0]:
            lost.append(f"{codes} {output}")
        elif content(workdir) != wanted:
            lost.append("other content")
        return Outcome(seconds, f"try {number}: {'; '.join(lost)}" if lost else "")

    return Fault(attempt)
