"""One control plane for all tests of this folder, a namespace and a copy of the clone for each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from .client import Cluster
from .controlplane import control_plane
from .rendering import Clone, clone_into


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with control_plane() as running:
        yield running


@pytest.fixture(scope="session")
def fresh(cluster: Cluster) -> Callable[[], str]:
    """Makes a namespace that nobody else uses."""
    numbers = itertools.count(1)
    return lambda: cluster.create_namespace(f"test-{next(numbers)}")


@pytest.fixture
def namespace(fresh: Callable[[], str]) -> str:
    return fresh()


@pytest.fixture(scope="session")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Clone]:
    """Makes a copy of the clone that nobody else writes to."""
    return lambda: clone_into(tmp_path_factory.mktemp("clone"))


@pytest.fixture
def clone(clones: Callable[[], Clone]) -> Clone:
    return clones()
