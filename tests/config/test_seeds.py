import pytest

from cnn.config.seeds import Seeds
from tests.conftest import tiny_config


def test_every_stream_follows_the_seed():
    assert Seeds.of(tiny_config("seed=7")) == Seeds.same(7)


@pytest.mark.parametrize("stream", Seeds._fields)
def test_a_held_stream_stays(stream):
    for seed in (1, 2):
        seeds = Seeds.of(tiny_config(f"seed={seed}", f"seeds.{stream}=5"))
        assert seeds == Seeds.same(seed)._replace(**{stream: 5})
