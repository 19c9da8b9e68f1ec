import pytest

from cnn.config.errors import UserError
from cnn.cost import timing
from cnn.cost.timing import seconds_in_turns, time_calls, turn_ratio


class Clock:
    """Seconds that pass only when a function says so."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def perf_counter(self):
        return self.now

    def task(self, name, *seconds):
        remaining = iter(seconds)

        def run():
            self.calls.append(name)
            self.now += next(remaining)

        return run


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


def test_runs_in_turns_and_returns_medians_without_the_first_call(clock):
    a, b = clock.task("a", 100, 3, 1, 2), clock.task("b", 50, 7, 9, 100)
    assert seconds_in_turns({"a": a, "b": b}, 3) == {"a": 2, "b": 9}
    assert clock.calls == list("abababab")


def test_waits_for_asynchronous_results(monkeypatch):
    waited = []
    monkeypatch.setattr(timing.jax, "block_until_ready", waited.append)
    seconds_in_turns({"a": lambda: "result"}, 2)
    assert waited == ["result"] * 3


def test_refuses_zero_repeats():
    with pytest.raises(UserError, match=r"^repeats: 0 .* use 1 or more$"):
        seconds_in_turns({}, 0)


def test_sample_leaves_out_the_first_two_and_stops_at_the_budget(clock):
    assert time_calls(clock.task("a", 9, 9, 1, 2, 3), least=2, most=5, budget=6) == [1, 2, 3]
    assert time_calls(clock.task("a", 9, 9, 5, 5), least=2, most=5, budget=1) == [5, 5]
    assert time_calls(clock.task("a", *range(9)), least=2, most=4, budget=1e9) == [2, 3, 4, 5]


def test_a_machine_that_slows_down_between_turns_divides_out():
    # Twice the time from the third turn on, and a moment of a neighbour's in the last.
    over, under = [1.1, 1.1, 2.2, 2.2, 9.0], [1.0, 1.0, 2.0, 2.0, 2.0]
    assert turn_ratio(over, under) == pytest.approx(1.1)
