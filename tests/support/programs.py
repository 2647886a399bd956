"""Programs that tests need and pip does not bring."""

import os
import shutil

import pytest


def found(package: str, *names: str) -> str:
    """The first of these programs that is there; without any the test is skipped, but not in CI."""
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        reason = f"there is no {names[0]}: install it, on Debian with `apt-get install {package}`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return program
