"""The ways in which a value gets from one place to another."""

import copy
import pickle
from typing import TypeVar

T = TypeVar("T")


def ways_round(value: T) -> list[T]:
    """The value as it comes out of pickle, with each of its protocols, and out of both kinds of copy."""
    pickled = (pickle.dumps(value, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))
    return [*map(pickle.loads, pickled), copy.copy(value), copy.deepcopy(value)]
