"""Random overrides end in a config whose network is built, or in one sentence."""

from benchmarks.fuzz import one_try

TRIES = 100


def test_no_override_ends_in_a_traceback():
    answers = [one_try(1, number) for number in range(TRIES)]
    assert not [sentence for sentence in answers if "\n" in sentence]
    assert 0.1 * TRIES < answers.count("") < TRIES
