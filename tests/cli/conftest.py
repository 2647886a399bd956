"""Every test of the command line leaves the loggers as they were."""

from collections.abc import Iterator

import pytest

from tests.support.shell import restored_loggers


@pytest.fixture(autouse=True)
def _restored_loggers() -> Iterator[None]:
    with restored_loggers():
        yield
