"""Which pods restart, in which order, why, and what that means while it lasts; what could stop it half-way; and what does not restart.

Sources: the StatefulSet controller of Kubernetes 1.36 (`updateStatefulSetAfterInvariantEstablished`): from the highest ordinal
down, and no further while so many pods are unavailable. What a stuck roll does was seen on 1.36. No controller asks a
disruption budget: only evictions do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from emqx_fn import graph as g
from emqx_fn.graph import mapping
from emqx_fn.pods import quantity
from emqx_fn.record import MISSING
from emqx_gitops.inventory import references
from emqx_gitops.published import lineage
from emqx_gitops.resources import Key, Resource
from emqx_gitops.review import defaults
from emqx_gitops.review.impact import budgets, immutable
from emqx_gitops.review.impact.change import Change, members, pods
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import between, count, kubectl, listed
from emqx_gitops.review.model import Cause, Field, Finding

_TEMPLATE = ("spec", "template")


def findings(change: Change) -> Iterator[Finding]:
    """What each workload's pods do."""
    for before, after, fields in change.workloads:
        template = (field for field in fields if defaults.names(field.path)[:2] == _TEMPLATE)
        refused = {finding.rule for finding in immutable.of(before, after, fields) if finding.severity == "refused"}
        roll = Roll(change, before, after, tuple(sorted(template, key=_weight)), frozenset(refused))
        if not members(before) or not members(after):
            continue
        if roll.fields and not roll.held:
            yield from _rolling(roll)
        elif roll.fields:
            yield found("not-rolled", after, f"{roll.held}; what waits: {roll.why()}", roll.fields[0], (roll.go_on,))
        else:
            yield from _quiet(roll)


def _weight(field: Field) -> bool:
    """Images first: what else differs often follows from them, and a long list is cut."""
    return defaults.names(field.path)[-1] != "image"


class Roll(NamedTuple):
    """A workload whose pods are to be replaced; `fields` are those of its pod template that differ.

    `refused` has the findings by which the API server takes nothing of the change before somebody has acted.
    """

    change: Change
    before: Resource
    after: Resource
    fields: tuple[Field, ...]
    refused: frozenset[str] = frozenset()

    @property
    def number(self) -> int:
        """Pods that were there and stay: those are restarted."""
        return min(members(self.before), members(self.after))

    @property
    def is_set(self) -> bool:
        return self.after.key.kind == "StatefulSet"

    @property
    def held(self) -> str:
        """Why no pod restarts by itself, or only some; empty where all do."""
        strategy = mapping(self.after.data, "spec", "updateStrategy")
        if self.is_set and strategy.get("type") == "OnDelete":
            return "updateStrategy OnDelete: no pod restarts by itself, each has the old template until somebody deletes it"
        if mapping(self.after.data, "spec").get("paused") is True:
            return "the Deployment is paused: no pod restarts until somebody resumes it"
        if self.is_set and self.partition >= members(self.after):
            return f"partition {self.partition}: no pod has so high an ordinal, so none restarts"
        return ""

    @property
    def go_on(self) -> str:
        """What lets the pods restart all the same."""
        if not self.is_set:
            return "take paused out when they are to restart"
        return f"{kubectl(self.after, 'delete', 'pod', pods(self.after)[-1])}, wait until it is Ready again, then the next lower one"

    @property
    def partition(self) -> int:
        found = mapping(self.after.data, "spec", "updateStrategy", "rollingUpdate").get("partition")
        return found if isinstance(found, int) else 0

    @property
    def at_once(self) -> int:
        """How many pods may be missing at the same time."""
        spec = mapping(self.after.data, "spec")
        if "immutable-selector" in self.refused:
            return self.number  # by its plan: the object is deleted with its pods
        if self.is_set:
            asked = mapping(spec, "updateStrategy", "rollingUpdate").get("maxUnavailable")
            return max(1, budgets.share(asked, self.number, up=False)) if asked is not None else 1
        if mapping(spec, "strategy").get("type") == "Recreate":
            return self.number
        rolling = mapping(spec, "strategy", "rollingUpdate")
        missing = budgets.share(rolling.get("maxUnavailable", "25%"), self.number, up=False)
        return missing or (0 if self.surge else 1)

    @property
    def surge(self) -> int:
        """How many new pods of a Deployment may start before an old one goes."""
        spec = mapping(self.after.data, "spec")
        if self.is_set or "immutable-selector" in self.refused or mapping(spec, "strategy").get("type") == "Recreate":
            return 0
        return budgets.share(mapping(spec, "strategy", "rollingUpdate").get("maxSurge", "25%"), self.number, up=True)

    @property
    def cause(self) -> Cause:
        return "plugin" if all(field.cause == "plugin" for field in self.fields) else "input"

    def why(self) -> str:
        """The fields that did it, and behind a hash the keys of the ConfigMap."""
        behind = list(self._behind())
        return listed([*(_reason(field) for field in self.fields if not (behind and _is_hash(field))), *behind])

    def _behind(self) -> Iterator[str]:
        used = {(kind, name) for kind, name, _ in references(self.after)}
        for difference in self.change.differences:
            after, before = difference.after, difference.before
            if before and after and before.key != after.key and (after.key.kind, after.key.name) in used and lineage(before.key) == lineage(after.key):
                keys = listed(str(field.path[-1]) for field in difference.fields)
                yield f"{lineage(after.key).label}: {keys}"


def _is_hash(field: Field) -> bool:
    """Whether it only names another generation of what it named before."""
    names = [_without_hashes(value) for value in (field.before, field.after)]
    return names[0] is not None and names[0] == names[1]


def _without_hashes(value: object) -> object:
    """A reference, or a list of them, by the names without hashes; None for anything else."""
    if isinstance(value, str):
        return lineage(Key("", "ConfigMap", "", value)).name
    if isinstance(value, list):
        return [_without_hashes(item) for item in value]
    return {key: _without_hashes(item) for key, item in value.items()} if isinstance(value, dict) else value


def _reason(field: Field) -> str:
    name = field.name.removeprefix("spec.template.")
    if defaults.names(field.path)[-1] == "image":
        return f"{name} ({between(field.before, field.after)})"
    return f"the order of {name}" if _is_order(field) else name


def _is_order(field: Field) -> bool:
    """Whether nothing but the order of a list differs."""
    lists = [sorted(map(str, value)) if isinstance(value, list) else None for value in (field.before, field.after)]
    return lists[0] is not None and lists[0] == lists[1]


# -- those that restart


def _rolling(roll: Roll) -> Iterator[Finding]:
    yield _pods_roll(roll)
    if roll.after.is_emqx:
        yield from _quorum(roll)
    yield from _budget(roll)
    yield from _may_stick(roll)


def _pods_roll(roll: Roll) -> Finding:
    number = roll.number - min(roll.partition, roll.number) if roll.is_set else roll.number
    stay = roll.number - roll.at_once
    message = "once the API server takes the change, " if roll.refused else ""
    message += f"{count(number, 'pod')} {'restarts' if number == 1 else 'restart'}{_order(roll, number)}"
    message += f"; {stay} of {roll.number} serve meanwhile" if stay else "; nobody serves meanwhile"
    message += f". Clients of a pod that restarts connect again. Because of {roll.why()}"
    plan = ("nothing but an order differs: put it back, and no pod restarts",) if all(map(_is_order, roll.fields)) else ()
    return found("pods-roll", roll.after, message, roll.fields[0]._replace(cause=roll.cause), plan)


def _order(roll: Roll, number: int) -> str:
    if roll.is_set:
        names = pods(roll.after)[: roll.number]
        first, last = names[-1], names[-number]
        pace = "one at a time" if roll.at_once == 1 else f"up to {roll.at_once} at a time (1, where the API server does not know maxUnavailable)"
        path = f", {pace}, from {first} down to {last}, each Ready before the next" if number > 1 else f": {first}"
        kept = f"; partition {roll.partition} keeps the rest as it is" if roll.partition else ""
        return path + kept
    if roll.at_once == roll.number and not roll.surge:
        return " all at once" if number > 1 else ""
    first = f", {roll.surge} new before an old one goes" if roll.surge else ""
    return f"{first}, {f'up to {roll.at_once}' if roll.at_once else 'none'} missing at a time, in no order"


def _quorum(roll: Roll) -> Iterator[Finding]:
    stay = roll.number - roll.at_once
    if roll.number > 1 and stay == 0:
        message = f"all {roll.number} members stop before the first new one starts: no client is served, and what lies in no volume is gone"
    elif roll.number > 2 and stay < roll.number // 2 + 1:
        message = f"up to {roll.at_once} of {roll.number} members are missing at the same time, so no majority stays: durable storage does not write then"
    else:
        return
    path = "spec.updateStrategy.rollingUpdate.maxUnavailable" if roll.is_set else "spec.strategy"
    yield found("roll-breaks-quorum", roll.after, message, path, ("let one member go at a time",))


def _budget(roll: Roll) -> Iterator[Finding]:
    for budget in budgets.of(roll.change.after, roll.after):
        allowed = budgets.allowed(budget, roll.number)
        if allowed is not None and roll.at_once > allowed:
            message = f"up to {roll.at_once} of {roll.number} pods are missing at a time, where {budget.label} allows {allowed}: a roll asks no budget"
            message += ", and while it lasts no node can be drained"
            yield found("roll-exceeds-budget", roll.after, message, "", ("let no more pods go at a time than the budget allows",))


# -- what could stop it

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_PLACEMENT = ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "schedulerName", "priorityClassName", "runtimeClassName", "nodeName")
_RIGHTS = ("securityContext", "serviceAccountName", "hostNetwork")
_START = ("command", "args", "lifecycle", "workingDir")
_RISKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("image",), "the new image is not there, or does not start"),
    (_PROBES, "the new probe does not answer"),
    (_START, "the new command does not start the broker"),
    (_PLACEMENT, "no node fits the new placement"),
    (_RIGHTS, "admission, or the container itself, does not bear the new rights"),
    (("volumes", "volumeMounts"), "the new volume cannot be mounted"),
    (("initContainers",), "the init container does not end"),
)


def _may_stick(roll: Roll) -> Iterator[Finding]:
    risks = [*_risks(roll), *_references(roll)]
    if not risks:
        return
    reasons = listed((text for _, text in risks), limit=9)
    if not roll.is_set:
        left = "No old pod is left then" if roll.at_once >= roll.number else "The old pods that are left go on"
        message = f"the roll may stop half-way: {reasons}. {left}; going back in Git heals it"
        yield found("roll-may-stick", roll.after, message, risks[0][0], (_watch(roll),))
        return
    first = pods(roll.after)[roll.number - 1]
    rest = roll.number - 1
    message = f"the roll may stop at {first}: {reasons}. "
    if rest:
        message += f"It goes no further then, and the other {rest} keep the old revision; but a pod that is lost meanwhile comes back with the new one. "
    message += f"{_way_back(roll)}{_evictions(roll)}"
    delete = kubectl(roll.after, "delete", "pod", first)
    plan = (
        f"try it on one member first: spec.updateStrategy.rollingUpdate.partition: {rest}" if rest else "try the same change on a copy first",
        _watch(roll),
        f"if it hangs: revert the commit, wait for the sync, then {delete}{'' if _in_order(roll) else ', where it is not replaced by then'}",
    )
    yield found("roll-may-stick", roll.after, message, risks[0][0], plan)


def _in_order(roll: Roll) -> bool:
    return bool(mapping(roll.after.data, "spec").get("podManagementPolicy", "OrderedReady") == "OrderedReady")


def _way_back(roll: Roll) -> str:
    """Seen on 1.36 (tests/cluster/test_rolls.py). With the feature gate MaxUnavailableStatefulSet the controller waits with Parallel too."""
    if _in_order(roll):
        return "Going back in Git alone heals nothing: with OrderedReady the controller waits for the pod that hangs"
    return "Going back in Git replaces the pod that hangs, unless the controller runs with MaxUnavailableStatefulSet: then it waits for it"


def _watch(roll: Roll) -> str:
    return kubectl(roll.after, "rollout", "status", f"{roll.after.key.kind.lower()}/{roll.after.key.name}", "--timeout=15m")


def _risks(roll: Roll) -> Iterator[tuple[Field | str, str]]:
    for steps, text in _RISKS:
        risky = (field for field in roll.fields if _touches(field, steps) or (steps is _PROBES and _is_hurried(roll, field)))
        field = next((field for field in risky if not _waits_longer(field)), None)
        if field is not None:
            yield field, text + (_patience(roll) if steps is _PROBES else "")
    for field in roll.fields:
        names = defaults.names(field.path)
        old, new = quantity(field.before), quantity(field.after)
        if "requests" in names and new is not None and (old is None or new > old):
            yield field, f"no node has {field.after} of {names[-1]} free"


def _touches(field: Field, steps: tuple[str, ...]) -> bool:
    """A field of this name in the pod's spec, whatever is changed in it; gone is no risk."""
    names = defaults.names(field.path)
    only_wished = any(name.startswith("preferred") for name in names) or "ScheduleAnyway" in str(field.path)
    return field.after is not MISSING and not only_wished and not _is_hash(field) and any(name in steps for name in names[2:5])


# How long a probe waits, with the API server's defaults.
_TIMES = {"failureThreshold": 3, "periodSeconds": 10, "timeoutSeconds": 1, "initialDelaySeconds": 0}


def _waits_longer(field: Field) -> bool:
    """A probe that asks for the same, and gives more time to answer."""
    name = defaults.names(field.path)[-1]
    if name not in _TIMES or not any(probe in field.path for probe in _PROBES):
        return False
    old, new = (_TIMES[name] if value is MISSING else value for value in (field.before, field.after))
    return isinstance(old, int) and isinstance(new, int) and new >= old


def _is_hurried(roll: Roll, field: Field) -> bool:
    """Without a startup probe the liveness probe ends a container that starts slowly."""
    return "startupProbe" in field.path and _seconds(roll.after) < _seconds(roll.before)


def _patience(roll: Roll) -> str:
    old, new = (_seconds(workload) for workload in (roll.before, roll.after))
    return f" within {new} s, where it had {old} s so far" if new < old else ""


def _seconds(workload: Resource) -> int:
    """How long a container may take to start, at most over all."""
    found = [mapping(container, "startupProbe") or mapping(container, "livenessProbe") for container in workload.containers]
    times = (_whole(probe, "initialDelaySeconds", 0) + _whole(probe, "failureThreshold", 3) * _whole(probe, "periodSeconds", 10) for probe in found if probe)
    return max(times, default=0)


def _whole(probe: dict[str, Any], field: str, default: int) -> int:
    found = probe.get(field)
    return found if isinstance(found, int) else default


def _references(roll: Roll) -> Iterator[tuple[Field | str, str]]:
    """ConfigMaps and Secrets that the pods name for the first time, and that the rendering does not hold."""
    named = {(kind, name) for kind, name, _ in references(roll.before)}
    namespace = roll.after.key.namespace
    for kind, name, path in references(roll.after):
        if (kind, name) not in named and roll.change.after.generation(kind, namespace, name) is None:
            yield path, f"{kind}/{name} is not there yet"


def _evictions(roll: Roll) -> str:
    for budget in budgets.of(roll.change.after, roll.after):
        if (budgets.allowed(budget, roll.number) or 0) <= 1 and mapping(budget.data, "spec").get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            return f". {budget.label} allows no eviction while it hangs: nodes cannot be drained"
    return ""


# -- those that do not


def _quiet(roll: Roll) -> Iterator[Finding]:
    """Nothing of the pod template differs."""
    stale = list(_stale(roll))
    yield from stale
    if roll.after.is_emqx and roll.change.differences and not stale:
        changed = [difference.resource.label for difference in roll.change.differences]
        yield found("no-restart", roll.after, f"no pod restarts: what changed is {listed(changed)}")


def _stale(roll: Roll) -> Iterator[Finding]:
    """ConfigMaps and Secrets that the pods read, and that change under the same name."""
    changed = {after.key: fields for _, after, fields in roll.change.changed("ConfigMap", "Secret")}
    for kind, name, path in dict.fromkeys(references(roll.after)):
        fields = [field for field in changed.get(Key("", kind, roll.after.key.namespace, name), ()) if field.path[0] in ("data", "stringData", "binaryData")]
        if fields:
            keys = listed(str(field.path[-1]) for field in fields)
            message = f"{kind}/{name} changes ({keys}), its name does not, so no pod restarts: {_effect(roll.after, path)}"
            restart = kubectl(roll.after, "rollout", "restart", f"{roll.after.key.kind.lower()}/{roll.after.key.name}") + ", after the sync"
            generator = f"let {'secretGenerator' if kind == 'Secret' else 'configMapGenerator'} make it: its name then follows its content"
            yield found("not-rolled", roll.after, message, path, (generator, f"or: {restart}"))


def _effect(workload: Resource, path: str) -> str:
    if "volumes[" not in path:
        return "variables are read when the container starts, so each pod has the old values until it restarts, and a new pod the new ones"
    volume = path.partition("volumes[")[2].rstrip("]")
    mounts = [mount for container in workload.containers for mount in g.items(container, "volumeMounts") if mount.get("name") == volume]
    if any(mount.get("subPath") for mount in mounts):
        return "a file that is mounted by subPath stays as it was until the pod restarts"
    return "the files change in the running pods within some minutes; certificates and a licence file are read again, configuration at the start only"
