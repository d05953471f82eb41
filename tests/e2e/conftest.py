"""One cluster with nodes and a Git server for the whole run, each engine when the first test wants it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from cluster.client import Cluster
from cluster.controlplane import Processes, bring_up, free_ports, own_processes
from cluster.rendering import OVERLAYS

from . import brokers, git_server
from .argocd import ArgoCD
from .engine import App, Engine, await_synced
from .flux import Flux
from .members import await_members
from .node import Node, running_node, why_not
from .nodes import add_nodes
from .repository import Repository, found

ENGINES = {"flux": Flux, "argocd": ArgoCD}
LAST_WORDS = pytest.StashKey[Callable[[], str]]()


@dataclass(frozen=True)
class Lab:
    """Everything that runs, and where."""

    processes: Processes
    cluster: Cluster
    served: Path
    url: str

    def folder(self, name: str) -> Path:
        folder = self.processes.folder / name
        folder.mkdir()
        return folder

    def repository(self, name: str, engine: str, namespaces: dict[str, str]) -> Repository:
        return found(self.folder(f"{name}-work"), self.served / f"{name}.git", f"{self.url}/{name}.git", engine, namespaces)


@dataclass(frozen=True)
class Story:
    """One engine, a repository, and the EMQX clusters that the engine made of it."""

    cluster: Cluster
    engine: Engine
    repository: Repository
    apps: tuple[App, ...]
    failed: list[str] = field(default_factory=list)

    def publish(self, message: str) -> str:
        """A commit, and waits until it is synced everywhere."""
        commit = self.repository.publish(message)
        for app in self.apps:
            await_synced(self.engine, app, commit)
        return commit

    def await_formed(self, commit: str) -> None:
        for app in self.apps:
            await_synced(self.engine, app, commit)
            await_members(self.cluster, app, 3)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    logs = tmp_path_factory.mktemp("logs")
    with own_processes(logs) as processes:
        request.config.stash[LAST_WORDS] = lambda: f"whole logs: {logs}\n{processes.all_last_words()}"
        cluster = bring_up(processes, controllers=("*",))
        served = processes.folder / "git"
        served.mkdir()
        (port,) = free_ports(1)
        env = {**os.environ, "HOME": str(served), "GIT_CONFIG_NOSYSTEM": "1"}
        processes.start([sys.executable, git_server.__file__, served, str(port)], "git-server", env)
        add_nodes(processes, cluster)
        yield Lab(processes, cluster, served, f"http://127.0.0.1:{port}")


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A cluster of its own, with one node on which containers run."""
    if reason := why_not():
        pytest.skip(reason)
    logs = tmp_path_factory.mktemp("node-logs")
    with own_processes(logs) as processes:
        request.config.stash[LAST_WORDS] = lambda: f"whole logs: {logs}\n{processes.all_last_words()}"
        with running_node(processes, brokers.images(), brokers.FILES) as running:
            yield running


@pytest.fixture(scope="session")
def cluster(lab: Lab) -> Cluster:
    return lab.cluster


@pytest.fixture(scope="session")
def engines() -> dict[str, Engine]:
    """Those that run, by name: further stories go on with the same."""
    return {}


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest, lab: Lab, engines: dict[str, Engine]) -> Engine:
    if request.param not in engines:
        engines[request.param] = ENGINES[request.param](lab.processes, lab.cluster, lab.folder(request.param))
        engines[request.param].bring_up()
    return engines[request.param]


@pytest.fixture(scope="session")
def beginning(lab: Lab, engine: Engine) -> Story:
    """Three clusters that were committed, synced and formed."""
    story = prepare(lab, engine, engine.name)
    commit = story.repository.publish("Start three clusters")
    for app in story.apps:
        engine.follow(app, story.repository)
    story.await_formed(commit)
    return story


def prepare(lab: Lab, engine: Engine, name: str) -> Story:
    """What is there before the first commit is synced: a repository, namespaces, Secrets."""
    apps = tuple(App(overlay, f"emqx-{name}-{overlay}") for overlay in OVERLAYS)
    repository = lab.repository(name, engine.name, {app.overlay: app.namespace for app in apps})
    for app in apps:
        lab.cluster.create_namespace(app.namespace)
        lab.cluster.kubectl("create", "--filename=-", stdin=repository.secrets(app.overlay))
    return Story(lab.cluster, engine, repository, apps)


@pytest.fixture
def story(beginning: Story) -> Story:
    """The same clusters, as the test before left them."""
    if beginning.failed:
        pytest.skip(f"what {beginning.failed[0]} left is no state to go on from")
    return beginning


ON_THE_NODE = ("test_formed", "test_members", "test_node", "test_restarts")


class Stories(LoadScopeScheduling):
    """Three stories side by side, as most of their time they wait: one for each engine, and the node's. What a process has started serves all of its own."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, test = nodeid.partition("::")
        if Path(module).stem in ON_THE_NODE:
            return "node"
        # Argo CD has the longer story: what needs no engine goes with the other.
        return "argocd" if test.endswith("argocd]") else "flux"


# Only there when the tests run in several processes.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Stories:
    return Stories(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the programs said last, beside the failure."""
    report = yield
    if report.failed and "story" in getattr(item, "funcargs", {}):
        item.funcargs["story"].failed.append(item.name)
    if report.failed and LAST_WORDS in item.config.stash:
        report.sections.append(("last lines of each program", item.config.stash[LAST_WORDS]()))
    return report
