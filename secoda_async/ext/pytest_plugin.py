"""What pytest loads by itself once the SDK is installed: the fixtures, where pytest-asyncio can run them."""

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: "pytest.Config") -> None:
    """Offer the fixtures of `pytest_fixtures`."""
    if importlib.util.find_spec("pytest_asyncio") is not None:
        config.pluginmanager.import_plugin("secoda_async.ext.pytest_fixtures")
