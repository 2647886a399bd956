"""Numbers on the command line: each is refused with its option's name if it is out of range, and never rounded."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, TypeVar

from cyclopts import Parameter, Token

__all__ = ["Count", "Factor", "OptionalCount", "Port", "Seconds"]

_Number = TypeVar("_Number", int, float)


def _converter(
    kind: type[_Number], is_allowed: Callable[[_Number], bool], expected: str
) -> Callable[[object, Sequence[Token]], _Number]:
    def convert(_: object, tokens: Sequence[Token]) -> _Number:
        with suppress(ValueError):
            number = kind(tokens[0].value)
            if is_allowed(number):
                return number
        raise ValueError(expected)

    return convert


_COUNT = Parameter(converter=_converter(int, lambda number: number >= 0, "a whole number, 0 or more"))

Count = Annotated[int, _COUNT]
OptionalCount = Annotated[int | None, _COUNT]
"""A count or None. `Count | None` would not do: the lowest cyclopts ignores a converter inside a union."""
Port = Annotated[
    int, Parameter(converter=_converter(int, lambda number: number in range(65536), "a port, from 0 to 65535"))
]
Factor = Annotated[
    float,
    Parameter(converter=_converter(float, lambda number: math.isfinite(number) and number > 0, "a number above 0")),
]
"""A factor, such as the speed of a clock."""
Seconds = Annotated[
    float,
    Parameter(converter=_converter(float, lambda number: math.isfinite(number) and number >= 0, "0 or more seconds")),
]
