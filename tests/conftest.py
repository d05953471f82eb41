"""What all tests share: the flag that writes expectations anew."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write the expected results anew; review the difference line by line")


@pytest.fixture(scope="session")
def update_goldens(request: pytest.FixtureRequest) -> bool:
    """Whether expectations are to be written, not compared."""
    return bool(request.config.getoption("--update-goldens"))
