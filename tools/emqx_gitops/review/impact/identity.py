"""Who the members are, and where their data is: a member by another name, or at another place, starts with an empty database.

Sources: the database is `data/mnesia/NODE NAME` in every release (docs/emqx-families.md, Data); nodes of two cookies, of two
protocols of the Erlang distribution or of two RPC ports do not talk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.discovery import Broken, Member, Unknown
from emqx_fn.environment import Variable
from emqx_gitops.published import lineage
from emqx_gitops.resources import Key, Resource
from emqx_gitops.review.impact.change import Change, Cluster, claims_of, members, node_name, same_secret
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import count, kubectl, listed
from emqx_gitops.review.model import Finding

_ROOT = PurePosixPath("/opt/emqx")
_DATA_DIR = "EMQX_NODE__DATA_DIR"
_NAMES = ("EMQX_NODE_NAME", "EMQX_NODE__NAME", "EMQX_HOST", "EMQX_NAME", "DISCOVERY_SERVICE", "EMQX_CLUSTER__K8S__SUFFIX")
COOKIES = ("EMQX_NODE_COOKIE", "EMQX_NODE__COOKIE")
# Both ends of a connection between members have to say the same.
_BOTH_ENDS = (
    "EMQX_CLUSTER__PROTO_DIST",
    "EMQX_RPC__PORT_DISCOVERY",
    "EMQX_RPC__TCP_SERVER_PORT",
    "EMQX_RPC__SERVER_PORT",
    "EMQX_RPC__PROTOCOL",
    "EMQX_RPC__DRIVER",
    "EMQX_SSL_DIST_OPTFILE",
)


def findings(change: Change) -> Iterator[Finding]:
    """What a change does to the identity of the members and to their data."""
    for workload in change.lost_workloads:
        message = f"{_what(workload)} goes: {count(members(workload), 'member')} stop, and clients have nobody to connect to"
        yield found("workload-removed", workload, message)
    for cluster in change.clusters:
        yield from _unknown(change, cluster)
        if cluster.replaced:
            yield _replaced(cluster)
        else:
            yield from _renamed(cluster)
            yield from _moved(cluster)
            yield from cold(change, cluster)


def _unknown(change: Change, cluster: Cluster) -> Iterator[Finding]:
    """Where one side cannot be read nothing below is compared: that is to be known, not to be passed over."""
    before, after = change.before.why_unknown(cluster.before), change.after.why_unknown(cluster.after)
    if not (before or after) or (before == after and not cluster.fields):
        return
    side, why = ("before", before) if before else ("after", after)
    message = f"the settings of the members cannot be told, {side} this change: {why}. So nobody can say whether names, data, release or settings change"
    yield found("settings-unknown", cluster.after, message, "", ("look at both sides by hand, above all at node name, mount path, data folder and image",))


def _what(workload: Resource) -> str:
    return f"{workload.label} in namespace {workload.key.namespace}" if workload.key.namespace else workload.label


def _replaced(cluster: Cluster) -> Finding:
    before, after = cluster.before, cluster.after
    message = f"to the API server this is another object: {_what(before)} goes, {_what(after)} comes. The new members start with an empty database"
    kept = claims_of(before)
    message += (
        f"; the data of the old ones stays in {listed(kept)}"
        if kept
        else "; that of the old ones goes with their pods"
        if not place_of(before, cluster.old).kept
        else ""
    )
    message += ". Both run side by side until the old one is pruned"
    plan = (
        "keep name, namespace and kind, or:",
        "merge with the old workload still rendered, move clients to the new one, export and import what they need (emqx ctl data export)",
        "remove the old workload in a later change",
    )
    return found("workload-replaced", after, message, "metadata.name" if before.key[:2] == after.key[:2] else "kind", plan)


# -- names


def _renamed(cluster: Cluster) -> Iterator[Finding]:
    old, new = node_name(cluster.old), node_name(cluster.new)
    if not old or not new or old == new:
        return
    path = cluster.variable(*_NAMES) or cluster.field(("spec", "serviceName")) or cluster.field(("spec", "template", "metadata", "annotations")) or ""
    message = f"each member gets another node name: {old} becomes {new}. "
    if place_of(cluster.after, cluster.new).kept:
        message += f"Its database is {_database(cluster.old)}/{old}: each starts with an empty one beside it, and nobody reads the old one any more"
    else:
        message += "The old names stay in the list of members as stopped, until EMQX forgets them"
    if members(cluster.after) > 1:
        message += ". Discovery tells names of the new form only: while it rolls, old and new members do not find each other"
    plan = (
        "keep the name: what makes it is node name, headless Service, namespace, cluster domain and addressType",
        f"or export before and import after: {kubectl(cluster.after, 'exec', _first(cluster.after), '--', _ctl(cluster.new), 'data export')}",
    )
    yield found("node-renamed", cluster.after, message, path, plan)


def renaming_variables(cluster: Cluster) -> list[str]:
    """The names of variables by which this change renames the members."""
    old, new = node_name(cluster.old), node_name(cluster.new)
    if not cluster.cases or not old or not new or old == new:
        return []
    return [name for name in _NAMES if _value(cluster.cases[0], name) != _value(cluster.cases[1], name)]


def _first(workload: Resource) -> str:
    return f"{workload.key.name}-0" if workload.key.kind == "StatefulSet" else f"deploy/{workload.key.name}"


def _ctl(case: Case | None) -> str:
    return "emqx_ctl" if case and case.s.version < (5, 0, 0) else "emqx ctl"


# -- data


class Place(NamedTuple):
    """Where the database lies: the volume, and the folder in it. `kept` says whether it outlives the pod."""

    volume: str
    folder: str
    kept: bool

    def text(self) -> str:
        return f"{self.folder} of {self.volume}" if self.kept else self.volume


def _moved(cluster: Cluster) -> Iterator[Finding]:
    old, new = place_of(cluster.before, cluster.old), place_of(cluster.after, cluster.new)
    if not old.kept or old == new:
        return
    path = (
        (cluster.variable(_DATA_DIR) if _database(cluster.old) != _database(cluster.new) else None)
        or cluster.field(("spec", "template", "spec", "containers", "volumeMounts"), ("spec", "template", "spec", "volumes"), ("spec", "volumeClaimTemplates"))
        or ""
    )
    message = f"the database lies elsewhere: so far in {old.text()}, from now on in {new.text()}. Members start with an empty one"
    message += ", and what they write goes with their pods" if not new.kept else ""
    yield found("data-moved", cluster.after, message, path, ("mount the same claim at the same place, or copy the data while the brokers are stopped",))


def _database(case: Case | None) -> PurePosixPath:
    """4.x starts with the folder of the image, whatever node.data_dir says."""
    said = _value(case, _DATA_DIR) if case and case.s.version >= (5, 0, 0) else ""
    return _ROOT / (said or "data") / "mnesia"


def place_of(workload: Resource, case: Case | None) -> Place:
    """Where the brokers of a workload keep their database; where its settings are unknown, the folder of the image."""
    database = _database(case)
    containers = g.items(workload.pod_spec, "containers")
    container = next((item for item in containers if item.get("name") == "emqx"), containers[0] if containers else {})
    above = [mount for mount in g.items(container, "volumeMounts") if _is_above(g.text(mount, "mountPath"), database)]
    if not above:
        return Place("the pod's own disk", "", kept=False)
    mount = max(above, key=lambda item: len(g.text(item, "mountPath")))
    inside = database.relative_to(PurePosixPath(g.text(mount, "mountPath")))
    return _in_volume(workload, str(mount.get("name")), str(PurePosixPath(g.text(mount, "subPath") or "/") / inside).strip("/"))


def _is_above(path: str, database: PurePosixPath) -> bool:
    return path.startswith("/") and database.is_relative_to(PurePosixPath(path))


def _in_volume(workload: Resource, name: str, folder: str) -> Place:
    folder = f"/{folder}"
    for template in g.items(workload.data, "spec", "volumeClaimTemplates"):
        if g.text(template, "metadata", "name") == name:
            return Place(f"the claims {name}-{workload.key.name}-…", folder, kept=True)
    volume = next((item for item in g.items(workload.pod_spec, "volumes") if item.get("name") == name), {})
    claim = g.text(volume, "persistentVolumeClaim", "claimName")
    if claim:
        return Place(f"claim {claim}", folder, kept=True)
    if "hostPath" in volume:
        return Place(f"{g.text(volume, 'hostPath', 'path')} of the node", folder, kept=True)
    return Place("a volume that goes with the pod", "", kept=False)


# -- what members must have in common


def cold(change: Change, cluster: Cluster) -> Iterator[Finding]:
    """Settings that split the cluster while they roll: a member with the old value and one with the new do not talk."""
    if not cluster.cases or min(members(cluster.before), members(cluster.after)) < 2:
        return
    names = cold_variables(change, cluster)
    if names:
        workload = cluster.after
        message = f"members of the old and of the new {listed(names)} do not talk: while the change rolls there are two clusters, each with its own clients"
        plan = (
            "take an hour without clients, or accept the split while it rolls",
            kubectl(workload, "scale", f"{workload.key.kind.lower()}/{workload.key.name}", "--replicas=0") + ", with the engine's automatic sync switched off",
            "merge and sync: all members start together with the new value",
        )
        yield found("cold-restart", workload, message, cluster.variable(*names), plan)


def cold_variables(change: Change, cluster: Cluster) -> list[str]:
    """The names of such settings that this change changes."""
    if not cluster.cases:
        return []
    old, new = cluster.cases
    found = [name for name in _BOTH_ENDS if _value(old, name) != _value(new, name)]
    cookies = [next((case.env[name] for name in COOKIES if name in case.env), None) for case in cluster.cases]
    if not same_variable(change, cluster, cookies[0], cookies[1]):
        found.append(next((variable.name for variable in reversed(cookies) if variable), COOKIES[1]))
    return found + _moved_ports(old, new)


def _value(case: Case, name: str) -> str | None:
    variable = case.env.get(name)
    return variable.value if variable else ""


def _moved_ports(old: Case, new: Case) -> list[str]:
    """The digits at the end of the name before the @ move both ports."""
    ports = []
    for case in (old, new):
        try:
            ports.append(Member(case).ports(node_name(case).partition("@")[0]))
        except (Unknown, Broken):
            return []
    both_new = all(_value(old, name) == _value(new, name) for name in _BOTH_ENDS)
    return ["ports between members"] if ports[0] != ports[1] and both_new else []


def same_variable(change: Change, cluster: Cluster, old: Variable | None, new: Variable | None) -> bool:
    """Whether a variable holds the same before and after, as far as the renderings show."""
    if old is None or new is None:
        return old is new
    before, after = _secret(old), _secret(new)
    if before and after:
        namespace = cluster.after.key.namespace
        return same_secret(change, namespace, before, after)
    if old.object.startswith("Secret/") and new.object.startswith("Secret/"):
        key = new.path.partition("[")[2].rstrip("]")
        return same_secret(change, cluster.after.key.namespace, (old.object[7:], key), (new.object[7:], key))
    return (old.value, _plain(old.source)) == (new.value, _plain(new.source))


def _secret(variable: Variable) -> tuple[str, str] | None:
    reference = g.mapping(variable.source, "secretKeyRef")
    return (str(reference.get("name")), str(reference.get("key"))) if reference else None


def _plain(source: dict[str, object]) -> object:
    """A reference by the name without the hash of the content, which is compared by itself."""
    reference = g.mapping(source, "configMapKeyRef")
    return (lineage(Key("", "ConfigMap", "", str(reference.get("name")))), reference.get("key")) if reference else source
