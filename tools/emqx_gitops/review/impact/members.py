"""Members that come and go: what a smaller cluster loses, and what a larger one needs."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn.environment import is_replicant
from emqx_gitops.resources import Resource
from emqx_gitops.review.impact.change import Change, Cluster, members, node_name, pods
from emqx_gitops.review.impact.identity import place_of
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import count, kubectl, listed
from emqx_gitops.review.model import Finding


def findings(change: Change) -> Iterator[Finding]:
    """Another number of members."""
    for cluster in change.clusters:
        old, new = members(cluster.before), members(cluster.after)
        if cluster.replaced or old == new:
            continue
        yield _down(cluster, old, new) if new < old else _up(cluster, old, new)


def _down(cluster: Cluster, old: int, new: int) -> Finding:
    workload, field = cluster.after, cluster.field(("spec", "replicas")) or "spec.replicas"
    going = _going(cluster)
    if new == 0:
        message = f"all {count(old, 'member')} stop: clients have nobody to connect to"
        message += "" if place_of(workload, cluster.new).kept else ", and with the last pod goes all that the cluster knows"
        return found("scale-down", workload, message, field)
    message = f"{old - new} of {count(old, 'member')} {'goes' if old - new == 1 else 'go'}: {going}. Their clients and sessions move or are lost; "
    message += "nobody tells EMQX that they are gone for good: "
    message += f"they stay in the list of members as stopped{_autoclean(cluster)}"
    if _is_core(cluster):
        stay = f"{new} of {old}"
        message += f". {stay} stay, which is no majority of the old cluster" if new < old // 2 + 1 else f". {stay} stay"
        message += "; a shard of durable storage that has its replicas on those that go is lost with them"
    return found("scale-down", workload, message, field, _leave(cluster))


def _going(cluster: Cluster) -> str:
    if cluster.after.key.kind != "StatefulSet":
        return "the Deployment's controller chooses which"
    stay = pods(cluster.after)
    return listed(pod for pod in reversed(pods(cluster.before)) if pod not in stay)


def _is_core(cluster: Cluster) -> bool:
    return cluster.new is None or not is_replicant(cluster.new.env)


def _autoclean(cluster: Cluster) -> str:
    if cluster.new is None:
        return ""
    said = cluster.new.value("EMQX_CLUSTER__AUTOCLEAN")
    return f", until EMQX forgets them after {said or ('5m' if cluster.new.s.version < (5, 1, 0) else '24h')}"


def _leave(cluster: Cluster) -> tuple[str, ...]:
    """Once they are stopped: a member that leaves while it runs finds the others again."""
    name, stay = node_name(cluster.new), pods(cluster.after)
    if cluster.after.key.kind != "StatefulSet" or not name or not stay:
        return ()
    old = cluster.new is not None and cluster.new.s.version < (5, 0, 0)
    command = "emqx_ctl cluster force-leave" if old else "emqx ctl cluster force-leave"
    going = [pod for pod in reversed(pods(cluster.before)) if pod not in stay]
    return tuple(kubectl(cluster.after, "exec", stay[0], "--", command, name.replace("<pod>", pod)) + ", after the sync" for pod in going)


def _up(cluster: Cluster, old: int, new: int) -> Finding:
    workload, field = cluster.after, cluster.field(("spec", "replicas")) or "spec.replicas"
    coming = listed(pod for pod in pods(workload) if pod not in pods(cluster.before)) if workload.key.kind == "StatefulSet" else ""
    message = f"{count(new - old, 'member')} more, {new} in all" + (f": {coming}" if coming else "")
    message += ". Clients that are connected stay where they are: only new connections reach the new members"
    message += ". With an even number of members a split into halves leaves no majority" if new % 2 == 0 and _is_core(cluster) else ""
    return found("scale-up", workload, message, field)


def first_pod(workload: Resource) -> str:
    """What to name for kubectl exec."""
    return f"{workload.key.name}-0" if workload.key.kind == "StatefulSet" else f"deploy/{workload.key.name}"
