"""What a sync engine is to the tests, whichever it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .repository import Repository
from .waiting import until_fine

LOOK_SECONDS = 10.0


@dataclass(frozen=True)
class App:
    """One EMQX cluster that an engine keeps in sync: an overlay in a namespace of its own."""

    overlay: str
    namespace: str

    @property
    def name(self) -> str:
        return self.namespace


@dataclass(frozen=True)
class State:
    """What an engine says of an app: the commit that it dealt with last, if it tells, whether all of it is there and healthy, and what is wrong."""

    commit: str
    fine: bool
    message: str


class Engine(Protocol):
    """A sync engine that runs."""

    name: str

    def follow(self, app: App, repository: Repository) -> None:
        """Starts to keep the app as it is in Git, and corrects what is changed by hand."""

    def forget(self, app: App, *, with_all: bool) -> None:
        """Deletes the engine's own object, with all that belongs to it only when that is said on purpose."""

    def look(self, app: App) -> None:
        """Tells the engine that there may be a new commit, as a webhook would."""

    def sync_again(self, apps: Sequence[App]) -> None:
        """A whole sync without a new commit, and waits for its end."""

    def state(self, app: App) -> State:
        """What the engine says now."""

    def is_there(self, app: App) -> bool:
        """Whether the engine still knows the app."""

    def kill(self) -> None:
        """Ends, without notice, the controller that applies."""

    def start(self) -> None:
        """Starts that controller again."""


def await_synced(engine: Engine, app: App, commit: str) -> None:
    """Until everything in this commit is applied and healthy."""

    def problem() -> str:
        state = engine.state(app)
        return "" if state.fine and state.commit == commit else str(state)

    await_fine(engine, app, f"{engine.name}: {app.name} synced at {commit[:7]}", problem)


def await_refused(engine: Engine, app: App, commit: str) -> str:
    """Until the engine gave up on this commit, and what it says of it."""
    last = []

    def problem() -> str:
        last[:] = [engine.state(app)]
        (state,) = last
        return "" if state.commit in (commit, "") and not state.fine and state.message else str(state)

    await_fine(engine, app, f"{engine.name}: {app.name} refuses {commit[:7]}", problem)
    return str(last[0].message)


def await_fine(engine: Engine, app: App, what: str, problem: Callable[[], str]) -> None:
    """Has the engine look again and again, as it would by itself every few minutes: what it saw once may be old when it says it."""
    next_look = time.monotonic()

    def looked_at() -> str:
        nonlocal next_look
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_SECONDS
            engine.look(app)
        return problem()

    until_fine(what, looked_at)
