"""Control messages between the processes of a run: lines of JSON over TCP.

Process 0 listens, and every other one keeps a connection to it for the whole run. A dead process
is therefore detected at once (its connection closes) or, if the network is down too, after
`SILENCE`; and the reason that ends one process is sent to all before any of them exits. The
runtime itself would abort the remaining processes with a stack trace and without the reason.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from cnn.config.errors import UserError

BEAT = 5.0  # seconds between two signs of life
SILENCE = 30.0  # seconds without one after which a process counts as lost
LEAVE = 5.0  # seconds that process 0 waits for the others to be gone
HOST_LOST = 3  # exit code of those that are left when a process was lost
# A process may be this many steps ahead of another: `metrics.STEPS_IN_FLIGHT` and the one it makes.
AHEAD = 4


class Link:
    """A connection over which both sides send JSON values."""

    def __init__(self, connection: socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection, self._lock = connection, threading.Lock()
        self._lines = connection.makefile("rb")

    def timeout(self, seconds: float) -> None:
        """Sets a timeout in seconds for `receive`."""
        self._connection.settimeout(seconds)

    def send(self, message: Any) -> None:
        """Sends a message; a lost connection is noticed by the receiver."""
        # With a timeout: a signal handler may have interrupted another sender.
        held = self._lock.acquire(timeout=1.0)
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass
        finally:
            if held:
                self._lock.release()

    def receive(self) -> Any:
        """Returns the next message, or None if the other side is lost or silent."""
        try:
            line = self._lines.readline()
            return json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None

    def hang_up(self) -> None:
        """Ends the connection, which makes `receive` return None on both sides."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Frees the connection."""
        self._lines.close()
        self._connection.close()


class Channel:
    """Connections of a process that belongs to a run of several.

    Args:
      index: of this process.
      links: by the index of the other side: of all others for process 0, else of process 0.

    Attributes:
      index: of this process.
    """

    def __init__(self, index: int, links: dict[int, Link]):
        self.index, self._links = index, links
        self._news = threading.Condition()
        self._round = 0
        self._said: dict[int, dict[int, tuple[str, Any]]] = {}
        self._values: dict[int, list[Any]] = {}
        self._asked: int | None = None
        self._stop: tuple[int, int] | None = None
        self._stopping = False
        self._agreed: set[int] = set()
        self._left: set[int] = set()
        self._closing = False
        self._ending = threading.Lock()
        self._told = threading.Event()
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._beat, daemon=True)]
        for peer, link in links.items():
            link.timeout(SILENCE)
            listen = threading.Thread(target=self._listen, args=(peer, link), daemon=True)
            self._threads.append(listen)
        for thread in self._threads:
            thread.start()

    def gather(self, name: str, value: Any = None) -> list[Any]:
        """Waits until every process has reached the point `name`; returns their values.

        Args:
          name: of the point, the same for all.
          value: JSON value.
        """
        self._round += 1
        now = self._round
        if self.index:
            self._links[0].send({"round": now, "name": name, "value": value})
            return self._wait_for(lambda: self._values.pop(now, None))
        with self._news:
            self._said.setdefault(now, {})[0] = name, value
        answers = self._wait_for(lambda: self._complete(now)) or {0: (name, value)}
        if len({point for point, _ in answers.values()}) > 1:
            points = ", ".join(f"host {i} at '{answers[i][0]}'" for i in sorted(answers))
            raise UserError(f"the hosts are at different points ({points}); is --workdir shared?")
        values = [answers[i][1] for i in sorted(answers)]
        self._tell_all({"round": now, "values": values})
        return values

    def _complete(self, now: int) -> dict[int, tuple[str, Any]] | None:
        return self._said.pop(now) if len(self._said[now]) == len(self._links) + 1 else None

    def ask_to_stop(self, number: int) -> None:
        """Asks all processes to stop after the same step, because this one got a signal."""
        if self.index:
            self._links[0].send({"asked": number})
        else:
            self._asked = number

    def stop_after(self, step: int) -> int | None:
        """Returns the signal that all processes stop for after this step, or None.

        Process 0 chooses a step to which none can have come, and waits until all know it.
        """
        if self._asked is not None and self._stop is None and not self.index:
            stop = step + AHEAD, self._asked
            self._tell_all({"stop": stop})
            self._wait_for(lambda: len(self._agreed) == len(self._links) or None)
            self._stop = stop
        self._stopping = self._stop is not None and step >= self._stop[0]
        return self._stop[1] if self._stopping else None

    def end_if_asked(self) -> None:
        """Ends all processes if one got a signal after the last step, which is saved."""
        if self._asked is not None and not self.index and not self._stopping:
            self.end(128 + self._asked, "stopped", "stopped")

    def end(self, code: int, sentence: str, shown: str | None = None) -> NoReturn:
        """Sends every process the reason, and exits with a code; the others exit with the same.

        Args:
          code: exit code of all.
          sentence: for the screens of the others.
          shown: for the own screen, instead.
        """
        self._end(code, shown or f"error: {sentence}", self.index, sentence)

    def close(self) -> None:
        """Closes the connections once all processes have reached this point."""
        self._closing = True
        self.gather("the end")
        self._closed.set()
        for link in self._links.values():
            link.hang_up()
        for thread in self._threads:
            thread.join()

    def heard(self, seconds: float) -> None:
        """Waits for a message that explains an error, before this process reports it as its own."""
        time.sleep(seconds)

    def _end(self, code: int, shown: str, source: int, sentence: str) -> NoReturn:
        if not self._ending.acquire(blocking=False):
            # Another thread is about to end this process.
            threading.Event().wait()
        self._tell(shown)
        self._tell_all({"end": code, "host": source, "sentence": sentence})
        self._closing = True
        # What connects the devices aborts those that are left behind by process 0.
        deadline = time.monotonic() + LEAVE
        with self._news:
            while len(self._left) < len(self._links) and time.monotonic() < deadline:
                self._news.wait(0.1)
        os._exit(code)

    def _tell(self, sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)
        sys.stdout.flush()
        self._told.set()

    def _tell_all(self, message: Any) -> None:
        for link in self._links.values():
            link.send(message)

    def _wait_for(self, found: Callable[[], Any]) -> Any:
        with self._news:
            while (result := found()) is None and not (self._closing and self._left):
                self._news.wait(1.0)
            return result

    def _beat(self) -> None:
        while not self._closed.wait(BEAT):
            self._tell_all({})

    def _listen(self, peer: int, link: Link) -> None:
        while (message := link.receive()) is not None:
            self._take(peer, message)
        with self._news:
            self._left.add(peer)
            self._news.notify_all()
        link.close()
        if not self._closing:
            sentence = f"host {peer} was lost; start all again: the same command continues"
            self._end(HOST_LOST, f"error: {sentence}", peer, sentence)

    def _take(self, peer: int, message: dict[str, Any]) -> None:
        if "end" in message:
            if self.index:
                # Process 0 waits for this one.
                self._closing = True
                self._leave(message)
            threading.Thread(target=self._relay, args=(message,), daemon=True).start()
            return
        with self._news:
            if "name" in message:
                answers = self._said.setdefault(message["round"], {})
                answers[peer] = message["name"], message["value"]
            elif "values" in message:
                self._values[message["round"]] = message["values"]
            elif "asked" in message:
                self._asked = message["asked"]
            elif "stop" in message:
                self._stop = tuple(message["stop"])
                self._links[0].send({"agreed": True})
            elif "agreed" in message:
                self._agreed.add(peer)
            self._news.notify_all()

    def _relay(self, message: dict[str, Any]) -> None:
        self._end(
            message["end"],
            f"error: host {message['host']}: {message['sentence']}",
            message["host"],
            message["sentence"],
        )

    def _leave(self, message: dict[str, Any]) -> NoReturn:
        if self._ending.acquire(blocking=False):
            self._tell(f"error: host {message['host']}: {message['sentence']}")
        # Another thread may be about to tell why it ends this process.
        self._told.wait(LEAVE)
        os._exit(message["end"])


def open_channel(
    address: str, count: int, index: int, facts: dict[str, Any], wait: float
) -> tuple[Channel, dict[str, Any]]:
    """Connects the processes of the run, and checks that config, code and versions agree.

    Args:
      address: "host:port" of process 0.
      count: of processes.
      index: of this one.
      facts: field -> JSON value, that has to be the same everywhere.
      wait: seconds to wait for the others.

    Returns:
      The channel, and the facts of process 0 beside a free "port" on its host.

    Raises:
      UserError: which processes are missing or differ, and in what; on all of them.
    """
    host, _, port = address.rpartition(":")
    roll = {"index": index, "count": count, "facts": facts}
    if index:
        link = _connect(host.strip("[]"), int(port), wait)
        link.send(roll)
        link.timeout(wait + LEAVE)
        answer = link.receive() or {
            "refused": f"--hosts: host 0 at {address} ended before all hosts were there"
        }
        if "refused" in answer:
            link.close()
            raise UserError(answer["refused"])
        return Channel(index, {0: link}), answer
    links, refused = _call_the_roll(int(port), roll, wait)
    with socket.socket() as free:
        free.bind(("", 0))
        answer = {"refused": refused} if refused else {"port": free.getsockname()[1]}
    for link in links.values():
        link.send(answer)
        if refused:
            link.close()
    if refused:
        raise UserError(refused)
    return Channel(0, links), answer


def _connect(host: str, port: int, wait: float) -> Link:
    deadline, reason = time.monotonic() + wait, "timed out"
    while (left := deadline - time.monotonic()) > 0:
        try:
            return Link(socket.create_connection((host, port), timeout=left))
        except OSError as error:
            reason = error.strerror or str(error)
            time.sleep(min(0.2, left))
    raise UserError(
        f"--hosts: could not connect to host 0 at {host}:{port} within {wait:g} seconds "
        f"({reason}); check that it runs there and that the address is right"
    )


def _call_the_roll(port: int, roll: dict[str, Any], wait: float) -> tuple[dict[int, Link], str]:
    """Accepts all connections; returns them, and why the run is refused, or ""."""
    links: dict[int, Link] = {}
    deadline = time.monotonic() + wait
    with _listening(port) as server:
        while len(links) < roll["count"] - 1 and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                link = Link(server.accept()[0])
            except TimeoutError:
                break
            link.timeout(5.0)
            greeting = link.receive()
            if not isinstance(greeting, dict) or not {"index", "count", "facts"} <= greeting.keys():
                # Another program, such as a port scanner.
                link.close()
                continue
            index = greeting["index"]
            refused = _compare(roll, greeting)
            if index in links:
                refused = f"--hosts: two processes say that they are host {index}"
            links[index if index not in links else -1] = link
            if refused:
                return links, refused
    missing = [i for i in range(1, roll["count"]) if i not in links]
    if missing:
        names = ", ".join(map(str, missing))
        return links, (
            f"--hosts: of {roll['count']} hosts these did not come within {wait:g} seconds: "
            f"{names} (counted from 0); start one process on each"
        )
    return links, ""


def _listening(port: int) -> socket.socket:
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=1024)
    except OSError as error:
        raise UserError(
            f"--hosts: host 0 cannot listen on port {port} ({error.strerror}); give another port, "
            "or check whether two processes were started as host 0"
        ) from error


def _compare(first: dict[str, Any], other: dict[str, Any]) -> str:
    """Returns how a process differs from process 0, or ""."""
    if first["count"] != other["count"]:
        return (
            f"--hosts: host 0 was started as one of {first['count']} and host {other['index']} as "
            f"one of {other['count']}; give all the same count"
        )
    mine, theirs = first["facts"], other["facts"]
    names = sorted(mine.keys() | theirs.keys())
    differing = [n for n in names if mine.get(n) != theirs.get(n)]
    if not differing:
        return ""
    differences = "; ".join(f"{n}: {mine.get(n)!r} and {theirs.get(n)!r}" for n in differing)
    return (
        f"--hosts: host 0 and host {other['index']} differ in {differences}; start every process "
        "with the same config, code and versions"
    )
