"""`pytest.approx` with a type that pyright accepts."""

from typing import Any

import pytest


def approx(value: float) -> Any:
    """Compare equal to a float that differs by rounding only."""
    return pytest.approx(value)
