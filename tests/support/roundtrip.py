"""Copy values through pickle and the copy module, as processes and callers do."""

import copy
import pickle
from typing import TypeVar

T = TypeVar("T")


def copies(value: T) -> list[T]:
    """Return the value after a round trip through each pickle protocol, `copy.copy` and `copy.deepcopy`."""
    pickled = (pickle.dumps(value, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))
    return [*map(pickle.loads, pickled), copy.copy(value), copy.deepcopy(value)]
