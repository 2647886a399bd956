"""Combinations of parameters, most of which run only with the slow tests."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest


def combinations(*axes: Sequence[Any]) -> list[Any]:
    """Return every combination of one value per axis; those beyond a covering choice are marked as slow.

    In the choice, every combination of the other axes meets one value of the last axis, in turn. If no axis is shorter
    than the last, the choice has every value; with three axes it has every pair of values.
    """
    return [
        pytest.param(
            *(axis[index] for axis, index in zip(axes, indices, strict=True)),
            id="-".join(_name(axis[index]) for axis, index in zip(axes, indices, strict=True)),
            marks=[] if sum(indices[:-1]) % len(axes[-1]) == indices[-1] else pytest.mark.slow,
        )
        for indices in product(*(range(len(axis)) for axis in axes))
    ]


def _name(value: object) -> str:
    """Return the name of a function or member of an enum, else the text of the value."""
    return str(getattr(value, "__name__", None) or getattr(value, "name", value))
