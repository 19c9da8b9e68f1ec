"""The seeds of a run's random streams: all follow `seed`, unless one is held."""

from typing import Any, NamedTuple

from ml_collections import ConfigDict


class Seeds(NamedTuple):
    """One seed for each stream: whole numbers, or uint32 scalars inside a jitted step.

    Attributes:
      init: of the first parameters.
      order: of the examples in every epoch.
      augment: of crops, flips, mixing and colours.
      dropout: of everything the network drops.
    """

    init: Any
    order: Any
    augment: Any
    dropout: Any

    @classmethod
    def of(cls, config: ConfigDict) -> "Seeds":
        """Returns the seeds that a config describes: `seeds.X`, or `seed` where that is -1."""
        held = [config.seeds[name] for name in cls._fields]
        return cls(*(config.seed if value < 0 else value for value in held))

    @classmethod
    def same(cls, seed: Any) -> "Seeds":
        """Returns one seed for every stream."""
        return cls(seed, seed, seed, seed)
