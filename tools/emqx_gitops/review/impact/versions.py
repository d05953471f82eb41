"""Another release of EMQX: ways that upstream does not go, and what is different on the way.

Sources: docs/emqx-families.md, and the releases' own sources that it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from emqx_fn.case import Case
from emqx_fn.family import LATEST, Version
from emqx_gitops.review.impact.change import Change, Cluster
from emqx_gitops.review.impact.identity import COOKIES, place_of
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import kubectl
from emqx_gitops.review.model import Field, Finding


def findings(change: Change) -> Iterator[Finding]:
    """What each jump between releases means."""
    for cluster in change.clusters:
        if cluster.cases and not cluster.replaced:
            old, new = (case.s.version for case in cluster.cases)
            if _order(old, new):
                yield from _jump(cluster, old, new)
            yield from _edition(cluster, *cluster.cases)


def _order(old: Version, new: Version) -> int:
    """-1, 0 or 1; a tag that names the minor only is every patch of it."""
    length = 2 if LATEST in (old.patch, new.patch) else 3
    return (new[:length] > old[:length]) - (new[:length] < old[:length])


def _jump(cluster: Cluster, old: Version, new: Version) -> Iterator[Finding]:
    path = cluster.field(("spec", "template", "spec", "containers", "image")) or ""
    workload, way = cluster.after, f"EMQX {old} becomes {new}"
    kept = place_of(workload, cluster.new).kept
    if _order(old, new) < 0:
        message = f"{way}: an older release need not read what a newer one has written, and upstream tests no way back"
        plan = ("keep the newer release, or start the older one on the backup that was made before the upgrade",) if kept else ()
        yield found("version-downgrade", workload, message, path, plan)
        return
    if new.major > old.major + 1:
        message = f"{way}, past all of {old.major + 1}.x: nobody tests that jump"
        yield found("version-skips", workload, message, path, (f"upgrade to the newest {old.major + 1}.x first, and look at the cluster before you go on",))
    if old.major == 4 and new.major > 4:
        yield _database(cluster, way, path)
    for note in _NOTES:
        if old < note.since <= new and note.concerns(cluster.cases[1] if cluster.cases else None):
            yield found("version-note", workload, f"{way}. From {note.since.major}.{note.since.minor} on: {note.text}", path)


def _database(cluster: Cluster, way: str, path: Field | str) -> Finding:
    workload = cluster.after
    kept = place_of(workload, cluster.new).kept
    message = f"{way}: 5.0 and newer do not read the database of 4.x, and members of both form no cluster. While it rolls there are two"
    message += "; users, rules and retained messages of 4.x are not there afterwards" if kept else ""
    first = f"{workload.key.name}-0" if workload.key.kind == "StatefulSet" else f"deploy/{workload.key.name}"
    plan = (
        kubectl(workload, "exec", first, "--", "emqx_ctl data export") + ", and keep the file",
        "bring up a cluster of the new release beside the old one, under another name, and move the clients",
    )
    return found("version-database", workload, message, path, plan)


def _edition(cluster: Cluster, old: Case, new: Case) -> Iterator[Finding]:
    if old.s.edition != new.s.edition and not (old.s.version < (5, 9, 0) <= new.s.version):
        path = cluster.field(("spec", "template", "spec", "containers", "image")) or ""
        message = (
            f"the {old.s.edition} edition becomes the {new.s.edition} one: the members of both cannot be told to form one cluster, try it with a copy first"
        )
        yield found("version-note", cluster.after, message, path)


# -- what is different from a release on


class Note(NamedTuple):
    """From `since` on, `text` holds for clusters that it `concerns`."""

    since: Version
    text: str
    concerns: Callable[[Case | None], bool]


def _always(_: Case | None) -> bool:
    return True


def _has_members(case: Case | None) -> bool:
    return case is not None and case.s.replicas > 1


def _named_by_address(case: Case | None) -> bool:
    return case is not None and case.s.host_type == "ip" and not case.value("EMQX_CLUSTER__AUTOCLEAN")


def _without_cookie(case: Case | None) -> bool:
    return case is not None and not any(name in case.env for name in COOKIES)


def _other_api_server(case: Case | None) -> bool:
    said = case.value("EMQX_CLUSTER__K8S__APISERVER") if case and case.s.strategy == "k8s" else ""
    return bool(said) and not said.startswith("https://kubernetes.default.svc")


def _scraped(case: Case | None) -> bool:
    return case is not None and any(True for kind in ("ServiceMonitor", "PodMonitor") for _ in case.graph.objects(kind))


def _with_clients_in_clear(case: Case | None) -> bool:
    return case is not None and case.value("EMQX_SECURITY_PROFILE").strip('"') == "hardened"


_NOTES = (
    Note(Version(5, 0, 0), "the HTTP API answers on the dashboard's port, 18083, and no longer on 8081", _always),
    Note(
        Version(5, 1, 0),
        "stopped members leave the list after 24 hours, no longer after 5 minutes, unless EMQX_CLUSTER__AUTOCLEAN says otherwise",
        _named_by_address,
    ),
    Note(Version(5, 4, 0), "the API server's certificate is verified, so discovery fails at an address that the certificate does not name", _other_api_server),
    Note(Version(5, 9, 0), "the licence is BSL 1.1, and more than one member needs a licence key that allows a cluster", _has_members),
    Note(
        Version(6, 0, 0), "the cookie that a release has by itself is another one, so members of both do not talk: set one of your own first", _without_cookie
    ),
    Note(Version(6, 2, 1), "EMQX_SECURITY_PROFILE=hardened turns away clients without a login where no authentication is configured", _with_clients_in_clear),
    Note(Version(6, 3, 0), "metrics are read with an API key only, no longer with the login of the dashboard", _scraped),
)
