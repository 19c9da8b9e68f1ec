"""How the processes of a run find each other: who is missing or differs is told to all."""

import socket
import threading

import pytest

from cnn.config.errors import UserError
from cnn.training.channel import Channel, open_channel

WAIT = 5.0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def open_all(*processes, wait=WAIT):
    """Opens channels for (index, count, facts); returns each, or what its process was told."""
    address, found = f"127.0.0.1:{free_port()}", [None] * len(processes)

    def one(place, index, count, facts):
        try:
            found[place], _ = open_channel(address, count, index, facts, wait)
        except UserError as error:
            found[place] = str(error)

    threads = [
        threading.Thread(target=one, args=(place, *process))
        for place, process in enumerate(processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_all_bring_a_value_and_get_those_of_all():
    channels = open_all(*((index, 3, {"seed": 1}) for index in range(3)))
    gathered = [None] * 3

    def meet(index):
        gathered[index] = channels[index].gather("here", index * 10)

    threads = [threading.Thread(target=meet, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gathered == [[0, 10, 20]] * 3
    leave(channels)


def leave(channels):
    threads = [threading.Thread(target=channel.close) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_all_stop_after_the_same_step_whichever_got_the_signal():
    channels = open_all((0, 2, {}), (1, 2, {}))
    assert [channel.stop_after(5) for channel in channels] == [None, None]
    channels[1].ask_to_stop(15)
    step = 5
    while channels[0].stop_after(step) is None:
        step += 1
        assert step < 10**6
    stops = [next(s for s in range(step + 20) if c.stop_after(s)) for c in channels]
    assert stops[0] == stops[1]
    assert [channel.stop_after(step) for channel in channels] == [15, 15]
    leave(channels)


@pytest.mark.parametrize(
    ("processes", "words"),
    [
        ([(0, 2, {"a": 1, "b": 2}), (1, 2, {"a": 1, "b": 3})], "differ in b: 2 and 3"),
        ([(0, 2, {"a": 1}), (1, 2, {})], "differ in a: 1 and None"),
        ([(0, 2, {}), (1, 3, {})], "one of 2 and host 1 as one of 3"),
        ([(0, 3, {}), (1, 3, {}), (1, 3, {})], "two processes say that they are host 1"),
    ],
)
def test_who_differs_is_reported_to_all(processes, words):
    answers = open_all(*processes)
    assert all(isinstance(text, str) and words in text for text in answers), answers


def test_a_process_tells_its_reason_before_it_leaves_for_anothers(monkeypatch):
    """The other's reason arrives when this process has decided to end, and not yet said why."""
    left, leaving = [], threading.Event()
    channel = Channel(1, {})
    monkeypatch.setattr(channel._told, "wait", lambda seconds: left or leaving.set())
    monkeypatch.setattr("os._exit", left.append)
    channel._ending.acquire()
    channel._leave({"end": 2, "host": 0, "sentence": "its reason"})
    channel._closed.set()
    assert leaving.is_set()
    assert left == [2]


def test_who_is_missing_is_reported_to_all_within_the_time_that_is_given():
    answers = open_all((0, 4, {}), (2, 4, {}), wait=1.0)
    assert all("did not come within 1 seconds: 1, 3 (counted" in text for text in answers), answers


def test_a_missing_first_host_is_reported_within_the_time_that_is_given():
    (answer,) = open_all((1, 2, {}), wait=0.5)
    assert "could not connect to host 0" in answer
    assert "within 0.5 seconds" in answer


def test_a_port_in_use_is_reported():
    refused = pytest.raises(UserError, match=r"cannot listen on port \d+ .*another port")
    with socket.create_server(("", 0)) as taken, refused:
        open_channel(f"127.0.0.1:{taken.getsockname()[1]}", 2, 0, {}, WAIT)


def test_a_stranger_that_connects_is_passed_over():
    port, found = free_port(), []
    first = threading.Thread(
        target=lambda: found.append(open_channel(f"127.0.0.1:{port}", 2, 0, {}, WAIT)[0])
    )
    first.start()
    while True:
        try:
            stranger = socket.create_connection(("127.0.0.1", port))
            break
        except OSError:
            continue
    stranger.sendall(b"GET / HTTP/1.1\r\n")
    stranger.close()
    found.append(open_channel(f"127.0.0.1:{port}", 2, 1, {}, WAIT)[0])
    first.join()
    assert len(found) == 2
    leave(found)
