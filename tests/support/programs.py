"""Find programs that tests run and pip cannot install."""

import os
import shutil

import pytest


def require(package: str, *names: str) -> str:
    """Return the path of the first of these programs that is installed; otherwise skip the test, and in CI fail it."""
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        reason = f"{names[0]} is not installed: install it, on Debian with `apt-get install {package}`"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return program
