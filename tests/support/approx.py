"""`pytest.approx` with a type that pyright accepts."""

from typing import Any

import pytest


def approx(value: float) -> Any:  # noqa: ANN401 - compares equal to any number
    """Compare equal to a float that differs by rounding only."""
    return pytest.approx(value)
