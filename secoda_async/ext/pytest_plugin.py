"""The pytest plugin, which registers the fixtures if pytest-asyncio is active.

Once the SDK is installed, pytest loads this module at each start, also in projects that never use the fixtures. Hence
the module imports neither the client nor aiohttp.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_configure(config: "pytest.Config") -> None:
    """Register the fixtures of `pytest_fixtures`, unless pytest-asyncio is missing or blocked (`-p no:asyncio`)."""
    asyncio_plugin = sys.modules.get("pytest_asyncio.plugin")
    if asyncio_plugin is not None and config.pluginmanager.is_registered(asyncio_plugin):
        config.pluginmanager.import_plugin("secoda_async.ext.pytest_fixtures")
