"""Rules about the pod itself: its volumes, how it stops, and what its namespace allows it."""

from __future__ import annotations

import re

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.family import Version
from emqx_fn.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


DATA = "/opt/emqx/data"
POD = "spec.template.spec"
ENFORCE = "pod-security.kubernetes.io/enforce"
_STOPPING = 10  # seconds left to the broker itself after the sleep of preStop
_READ_ONLY_VOLUMES = ("configMap", "secret", "projected", "downwardAPI", "image")
# What a member that joins copies from another, seen to stop it: https://github.com/emqx/emqx/issues/9402
_COPIED, _COPIES_DATA = (f"{DATA}/authz", f"{DATA}/certs"), Version(5, 0, 9)
# From each release on, the smallest data volume; see docs/rules/volume-size.md.
_MINIMUM = ((Version(6, 1, 0), "1Gi"), (Version(5, 8, 0), "256Mi"), (Version(4, 1, 0), "20Mi"))
_FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_FACTORS.update({f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)})


def check(case: Case) -> list[Problem]:
    """What is wrong with the pods of one cluster."""
    found: list[Problem] = []
    for rule in (surge_on_claim, volume_size, read_only_data, pre_stop_leaves, grace_period, pod_security, read_only_root):
        found += rule(case)
    return found


def quantity(value: Any) -> float | None:
    """A quantity of Kubernetes (`20Mi`, `1.5G`, 1000) as a number; None where it is none."""
    try:
        text = str(value)
        number = text.rstrip("KMGTPEikm")
        factor = _FACTORS.get(text[len(number) :])
        return float(number) * factor if factor else None
    except ValueError:
        return None


# -- volumes


def surge_on_claim(case: Case) -> list[Problem]:
    """A Deployment that starts the new pod before the old one is gone has two pods on one claim."""
    workload = case.workload
    strategy = g.mapping(workload.data, "spec", "strategy")
    if workload.kind != "Deployment" or g.replicas(workload) != 1 or strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return []
    given = g.mapping(strategy, "rollingUpdate").get("maxSurge")
    surge = "25%" if given is None else given
    claim = _contested_claim(case)
    if not claim or str(surge) in ("0", "0%"):
        return []
    path = "spec.strategy" if given is None else "spec.strategy.rollingUpdate.maxSurge"
    message = f"expected no surge: the new pod waits for the claim {claim!r} of the old one, or both brokers write to it; got maxSurge {surge}"
    fix = "set strategy: {type: Recreate, rollingUpdate: null}, or use volumeClaimTemplates of a StatefulSet (overlays/persistent)"
    return [Problem("surge-on-claim", str(workload), path, message, fix)]


def _contested_claim(case: Case) -> str:
    """A claim with the broker's data, or one that a single node may mount."""
    data = _data_volumes(case)
    for volume in g.items(g.pod_spec(case.workload), "volumes"):
        claim = g.text(volume, "persistentVolumeClaim", "claimName")
        if claim and (g.text(volume, "name") in data or _one_node_only(case, claim)):
            return claim
    return ""


def _one_node_only(case: Case, claim: str) -> bool:
    found = case.graph.resolve("PersistentVolumeClaim", claim, case.workload)
    modes = g.mapping(found.data, "spec").get("accessModes") if found else None
    return isinstance(modes, list) and bool(modes) and all(mode in ("ReadWriteOnce", "ReadWriteOncePod") for mode in modes)


def _data_volumes(case: Case) -> list[str]:
    """Names of the volumes that the broker keeps its data in."""
    mounts = g.items(case.container, "volumeMounts")
    return [g.text(mount, "name") for mount in mounts if g.text(mount, "mountPath").rstrip("/") in (DATA, f"{DATA}/mnesia")]


def volume_size(case: Case) -> list[Problem]:
    """A claim that is too small for what the release writes at its first start."""
    minimum = next(size for since, size in _MINIMUM if case.s.version >= since)
    data = _data_volumes(case)
    found = []
    for claim in g.items(case.workload.data, "spec", "volumeClaimTemplates"):
        asked = g.mapping(claim, "spec", "resources", "requests").get("storage")
        size = quantity(asked)
        name = g.text(claim, "metadata", "name")
        if name in data and size is not None and size < (quantity(minimum) or 0):
            path = f"spec.volumeClaimTemplates[{name}].spec.resources.requests.storage"
            message = f"expected at least {minimum}, because EMQX {case.s.version} stops when its data volume is full; got {asked}"
            fix = f"set storage: {minimum} or more; on an existing StatefulSet delete it with --cascade=orphan first, and enlarge its claims"
            found.append(Problem("volume-size", str(case.workload), path, message, fix))
    return found


def read_only_data(case: Case) -> list[Problem]:
    """A volume that cannot be written to, where a member that joins writes what it copies from another."""
    if case.s.version < _COPIES_DATA or case.s.replicas < 2:
        return []
    found = []
    for mount in g.items(case.container, "volumeMounts"):
        given, name = g.text(mount, "mountPath"), g.text(mount, "name")
        folder = next((folder for folder in _COPIED if f"{given}/".startswith(f"{folder}/")), "")
        if not folder or _is_writable(case, mount):
            continue
        path = case.container_path(f"volumeMounts[{given}].mountPath")
        message = f"expected no read-only volume in {folder}: a member that joins copies there what another has, and stops where it cannot; got {name!r}"
        fix = "mount it outside of /opt/emqx/data, such as an ACL file over /opt/emqx/etc/acl.conf (by subPath), and set that path"
        found.append(Problem("data-mount", str(case.workload), path, message, fix))
    return found


# -- the end of a pod


def pre_stop_leaves(case: Case) -> list[Problem]:
    """A member that leaves its cluster whenever its pod stops comes back as a stranger to its own data."""
    volumes = g.items(g.pod_spec(case.workload), "volumes")
    claims = g.claim_templates(case.workload) or any("persistentVolumeClaim" in volume for volume in volumes)
    if not claims or "cluster leave" not in _pre_stop(case):
        return []
    message = "expected no 'cluster leave': every restart takes the member out of its cluster, and its volume still says that it is in; got it in preStop"
    fix = "remove it; run it by hand before a scale-down"
    return [Problem("pre-stop-leaves", str(case.workload), case.container_path("lifecycle.preStop"), message, fix)]


def _pre_stop(case: Case) -> str:
    """The command of preStop as one line."""
    command = g.mapping(case.container, "lifecycle", "preStop", "exec").get("command")
    return " ".join(" ".join(str(word) for word in command).split()) if isinstance(command, list) else ""


def grace_period(case: Case) -> list[Problem]:
    """A preStop that sleeps the grace period away leaves the kubelet nothing but to kill the broker."""
    slept = _sleep(case)
    given = g.pod_spec(case.workload).get("terminationGracePeriodSeconds")
    grace = 30 if given is None else given
    if not slept or not isinstance(grace, int) or slept + _STOPPING <= grace:
        return []
    got = "30, the default" if given is None else str(grace)
    message = (
        f"expected terminationGracePeriodSeconds of at least {slept + _STOPPING}: preStop sleeps for {slept} s before the broker begins to stop; got {got}"
    )
    fix = f"set terminationGracePeriodSeconds: {slept + 120}, or sleep less"
    return [Problem("grace-period", str(case.workload), case.container_path("lifecycle.preStop"), message, fix)]


def _sleep(case: Case) -> int:
    """Seconds of the longest sleep in preStop: of two, a branch may run only one."""
    seconds = g.mapping(case.container, "lifecycle", "preStop", "sleep").get("seconds")
    if isinstance(seconds, int):
        return seconds
    command = _pre_stop(case)
    if "sleep " not in command:
        return 0
    return max((int(number) * (60 if unit == "m" else 1) for number, unit in re.findall(r"\bsleep (\d{1,6})(?:\.\d+)?([sm]?)(?![\w.])", command)), default=0)


# -- security


def pod_security(case: Case) -> list[Problem]:
    """Pods that the Pod Security Standard of their own Namespace refuses: the workload is accepted, and no pod ever appears."""
    name = case.workload.namespace
    namespace = next((found for found in case.graph.objects("Namespace", [ENFORCE]) if name and name in found.names), None)
    level = g.mapping(namespace.data, "metadata", "labels").get(ENFORCE) if namespace else None
    if level not in ("baseline", "restricted"):
        return []
    from emqx_fn import pod_security as standard  # only where a build enforces one

    template = g.mapping(case.workload.data, "spec", "template")
    return [
        Problem("pod-security", str(case.workload), path, f"expected {wanted}, as the level {level} of {namespace} asks; got {got}", fix)
        for path, wanted, got, fix in standard.violations(template, restricted=level == "restricted")
    ]


def read_only_root(case: Case) -> list[Problem]:
    """A broker that may not write where it must."""
    if g.mapping(case.container, "securityContext").get("readOnlyRootFilesystem") is not True:
        return []
    writable = _writable(case)
    missing = [folder for folder in _written(case) if not any(folder == path or folder.startswith(f"{path}/") for path in writable)]
    if not missing:
        return []
    message = f"expected a writable volume over {', '.join(missing)}: EMQX {case.s.version} writes there; got a read-only root filesystem"
    path = case.container_path("securityContext.readOnlyRootFilesystem")
    return [Problem("read-only-root", str(case.workload), path, message, "mount an emptyDir over each, or remove readOnlyRootFilesystem")]


def _written(case: Case) -> list[str]:
    mount = case.s.family.mount
    data = [mount.path, f"{DATA}/configs"] if mount.sub_path else [DATA]
    # The entrypoint of these releases writes the variables into the files of etc/.
    etc = ["/opt/emqx/etc"] if case.s.version < (4, 3, 0) else []
    return [*data, *etc, "/opt/emqx/log", "/tmp"]


def _writable(case: Case) -> list[str]:
    """Where a volume is mounted that can be written to."""
    return [g.text(mount, "mountPath").rstrip("/") for mount in g.items(case.container, "volumeMounts") if _is_writable(case, mount)]


def _is_writable(case: Case, mount: dict[str, Any]) -> bool:
    volumes = [volume for volume in g.items(g.pod_spec(case.workload), "volumes") if volume.get("name") == mount.get("name")]
    return mount.get("readOnly") is not True and not any(kind in volume for volume in volumes for kind in _READ_ONLY_VOLUMES)
