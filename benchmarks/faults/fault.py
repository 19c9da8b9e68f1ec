"""What a kind of fault is, and what became of one try."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What became of one try.

    Attributes:
      seconds: until the same command had made its first new step or, where it makes none, its end;
        of hosts and orphans until they had ended.
      lost: what was not as promised, in words; "" for nothing.
    """

    seconds: float
    lost: str = ""


# (folder of the try, its random numbers, its number) -> what became of it.
Try = Callable[[Path, random.Random, int], Outcome]


@dataclass(frozen=True)
class Fault:
    """A kind of fault that can be injected repeatedly.

    Attributes:
      attempt: injects it once.
      most: number of distinct tries; 0 for any number.
    """

    attempt: Try
    most: int = 0
