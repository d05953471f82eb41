"""Rules: what the broker or the API server would refuse, or silently ignore, and the YAML already shows."""

from __future__ import annotations

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.discovery import DASHED_IP, IP, Broken, Member, Unknown
from emqx_fn.environment import is_replicant
from emqx_fn.family import Version
from emqx_fn.problem import Problem
from emqx_fn.settings import OTHER_STRATEGIES, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_DATA = "/opt/emqx/data/"
_PLUGINS = "/opt/emqx/data/loaded_plugins"
_NAMING = ("EMQX_NODE_NAME", "EMQX_NODE__NAME", "EMQX_HOST")
# First releases that write the default list of plugins into an empty data/.
_PLUGINS_FIXED = {(4, 3): Version(4, 3, 19), (4, 4): Version(4, 4, 8)}


def identity(case: Case) -> list[Problem]:
    """Claims of members that somebody else named by their address; nothing is said where the YAML does not tell the name."""
    if case.s.rendered or not g.claim_templates(case.workload):
        return []
    member = Member(case)
    try:
        name, _ = member.node_name()
    except (Unknown, Broken):
        return []  # a broken name is said by the chain
    if IP not in name and DASHED_IP not in name:
        return []
    form = case.s.by_hand.get("spec.discovery.recordType" if case.s.strategy == "dns" else "spec.discovery.addressType")
    at = None if any(member.given(variable) for variable in _NAMING) else form
    message = f"expected the pod's name in the node's name, because the volume holds data under that and a restarted pod has another address; got {name}"
    fix = f"set EMQX_HOST: {member.host_by_name()}{_asked_by_name(case.s)}, or remove volumeClaimTemplates"
    return [member.broken(message, fix, *_NAMING, rule="claims-with-ip", at=at).problem]


def _asked_by_name(s: Settings) -> str:
    """What else to set, so that discovery tells the same names."""
    if "spec.discovery.strategy" not in s.by_hand or s.strategy in OTHER_STRATEGIES:
        return ""
    if s.strategy == "dns":
        return f" and {s.family.record_type}: srv" if s.family.record_type else f" and {s.family.strategy}: k8s, by hostname"
    return " and EMQX_CLUSTER__K8S__ADDRESS_TYPE: hostname"


class Checker:
    """Applies the rules to one workload and its settings."""

    def __init__(self, case: Case) -> None:
        self.case, self.graph, self.s = case, case.graph, case.s
        self.workload, self.container, self.replicant = case.workload, case.container, is_replicant(case.env)
        self.claims = g.claim_templates(self.workload)
        self.problems: list[Problem] = []

    def bad(self, rule: str, path: str, message: str, fix: str, object: str = "") -> None:
        where = object or str(self.workload)
        if where == self.s.config:
            where, path, fix = self.as_written(path, fix)
        self.problems.append(Problem(rule, where, path, message, fix))

    def as_written(self, path: str, fix: str) -> tuple[str, str, str]:
        """Object, path and fix for a field of the EmqxCluster: as variables where people decided by one, or where there is no EmqxCluster."""
        place = self.s.by_hand.get(path)
        if self.s.rendered:
            if not place:
                return self.s.config, path, fix
            return *place, "remove this entry, and the plugin sets what fits" + "".join(fix.partition(", or ")[1:])
        for field, variable in (
            ("addressType", "EMQX_CLUSTER__K8S__ADDRESS_TYPE"),
            ("recordType", self.s.family.record_type),
            ("strategy", self.s.family.strategy),
        ):
            fix = fix.replace(f"set {field}:", f"set {variable}:")
        here = (str(self.workload), f"spec.template.spec.containers[{self.container['name']}].env")
        return *(place or here), fix.replace("spec.license.secretKeyRef, or {type: evaluation} for a trial", "EMQX_LICENSE__KEY from a Secret")

    def check(self) -> list[Problem]:
        """All problems of the cluster."""
        for rule in (self.names, self.identity, self.records, self.order, self.discovery_service, self.licence, self.listeners, self.ip_family, self.volumes):
            rule()
        return self.problems

    def names(self) -> None:
        """Nodes named by hostname need the DNS names that only a StatefulSet's pods have; replicants ask for their cores' names, and have others."""
        s = self.s
        if self.workload.kind != "Deployment" or (self.replicant and not s.rendered):
            return
        if s.address_type == "hostname":
            message = "expected ip for a Deployment: its pods have no DNS names of their own, so every member would stay alone; got hostname"
            self.bad(
                "hostname-on-deployment",
                "spec.discovery.addressType",
                message,
                "set addressType: ip, or use a StatefulSet (overlays/statefulset-hostname)",
                s.config,
            )
        if s.record_type == "srv":
            message = "expected a or aaaa for a Deployment: SRV answers with DNS names that its pods do not know of themselves; got srv"
            self.bad(
                "srv-on-deployment", "spec.discovery.recordType", message, "set recordType: a, or use a StatefulSet (overlays/statefulset-hostname)", s.config
            )

    def identity(self) -> None:
        """EMQX keeps its data under the node's name: a name that changes with the pod's address loses the data."""
        if not self.s.rendered or not self.claims or self.s.host_type == "hostname":
            return  # what somebody else wrote is judged by the name itself, in `identity`
        field, value, right = ("recordType", self.s.record_type, "srv") if self.s.strategy == "dns" else ("addressType", self.s.address_type, "hostname")
        if self.s.strategy in OTHER_STRATEGIES:
            field, value, right = "strategy", self.s.strategy, "k8s"
        message = f"expected {right}, because the volume holds data under the node's name and a restarted pod has another address; got {value}"
        self.bad("claims-with-ip", f"spec.discovery.{field}", message, f"set {field}: {right}, or remove volumeClaimTemplates", self.s.config)

    def records(self) -> None:
        s = self.s
        if s.record_type and s.record_type not in s.family.record_types:
            message = f"expected one of {', '.join(s.family.record_types)} for EMQX {s.version}; got {s.record_type!r}"
            self.bad("record-type", "spec.discovery.recordType", message, f"set recordType: {s.family.record_types[0]}, or use a newer EMQX", s.config)

    def order(self) -> None:
        policy = g.mapping(self.workload.data, "spec").get("podManagementPolicy", "OrderedReady")
        if self.claims and self.s.replicas > 1 and policy != "Parallel":
            message = f"expected Parallel: after a full stop the first member waits for tables of one that is never created; got {policy!r}"
            self.bad(
                "ordered-ready-with-claims",
                "spec.podManagementPolicy",
                message,
                "set podManagementPolicy: Parallel; on an existing StatefulSet delete it with --cascade=orphan first",
            )

    def discovery_service(self) -> None:
        service = self.s.service
        if service is None or not g.headless(service) or self.s.strategy in OTHER_STRATEGIES:
            return
        if g.mapping(service.data, "spec").get("publishNotReadyAddresses") is not True:
            message = "expected true: members look for each other before they are ready"
            self.bad("not-ready-addresses", "spec.publishNotReadyAddresses", message, "set publishNotReadyAddresses: true", str(service))

    def licence(self) -> None:
        s = self.s
        if s.family.single_node_license and s.replicas > 1 and not s.licensed and not self.may_be_licensed():
            got = "the default one" if "spec.license" in s.by_hand else "none"
            message = f"expected a licence: EMQX {s.version} starts {s.replicas} members only with a key that allows a cluster; got {got}"
            fix = "set spec.license.secretKeyRef, or {type: evaluation} for a trial, or replicas: 1, or use EMQX 5.8"
            self.bad("license-required", "spec.license", message, fix, s.config)
        if s.evaluation and not s.family.single_node_license:
            message = f"expected no evaluation licence: EMQX {s.version} does not know it"
            self.bad("license-unknown", "spec.license.type", message, "remove spec.license, or use EMQX 5.9 or newer", s.config)
        if s.license and s.edition == "community":
            message = f"expected no licence: the community edition of EMQX {s.version} ignores it"
            self.bad("license-unknown", "spec.license.secretKeyRef", message, "remove spec.license, or use the image emqx/emqx-enterprise", s.config)

    def may_be_licensed(self) -> bool:
        """Whether the key may come from a file, or from a Secret that holds variables."""
        try:
            Member(self.case).key("LICENSE__KEY")
        except Unknown:
            return True
        return False

    def listeners(self) -> None:
        s = self.s
        ports = {s.dashboard_port: "spec.dashboard.port", 4370: "Erlang distribution", 5369: "RPC"}
        if s.family.management_port:
            ports[s.family.management_port] = "the HTTP API"
        for listener in s.listeners:
            path = f"spec.listeners.{listener.name}"
            if listener.port in ports and listener.type != "quic":
                self.bad(
                    "port-collision",
                    f"{path}.port",
                    f"expected a port of its own; {listener.port} is that of {ports[listener.port]}",
                    "choose another port",
                    s.config,
                )
            if listener.type == "quic" and not s.family.quic:
                self.bad("invalid-value", f"{path}.type", f"expected tcp, ssl, ws or wss for EMQX {s.version}; got 'quic'", "use EMQX 5.0 or newer", s.config)
            if listener.name != listener.type and not s.family.named_listeners:
                message = f"expected one listener of each type, named tcp, ssl, ws or wss: EMQX {s.version} takes no other from the environment"
                self.bad("invalid-value", path, message, "rename it, or use EMQX 4.3 or newer", s.config)
            if listener.name == listener.type or listener.name not in ("dashboard", "mgmt", "erlang", "rpc"):
                continue
            self.bad("port-collision", path, f"expected a name of its own; {listener.name!r} is a port that every member has", "rename the listener", s.config)

    def ip_family(self) -> None:
        s = self.s
        if s.ip_family != "IPv6":
            if s.rendered and s.record_type == "aaaa" in s.family.record_types:
                message = f"expected a or srv: AAAA records hold IPv6 addresses, and the cluster has {s.ip_family}; got aaaa"
                self.bad("ip-family", "spec.discovery.recordType", message, "set recordType: a, or ipFamily: IPv6", s.config)
            return
        if not s.family.rpc_listen:
            message = f"expected IPv4: the RPC server of EMQX {s.version} listens on IPv4 only; got IPv6"
            self.bad("ip-family", "spec.ipFamily", message, "use EMQX 4.3, 4.4, or 5.3.1 and newer", s.config)
        if s.address_type == "dns":
            message = "expected ip or hostname: the entrypoint makes dns names of IPv4 addresses only; got dns"
            self.bad("ip-family", "spec.discovery.addressType", message, "set addressType: hostname on a StatefulSet, ip on a Deployment", s.config)
        if s.record_type == "a":
            self.bad(
                "ip-family", "spec.discovery.recordType", "expected aaaa or srv: A records hold IPv4 addresses; got a", "set recordType: aaaa or srv", s.config
            )

    # -- volumes

    def volumes(self) -> None:
        self.claim_names()
        self.mounts()
        self.storage_class()
        if self.claims and "fsGroup" not in g.mapping(g.pod_spec(self.workload), "securityContext"):
            message = "expected fsGroup: EMQX runs as user 1000 and cannot write to a volume that belongs to root"
            self.bad("fs-group", "spec.template.spec.securityContext.fsGroup", message, "set securityContext: {runAsUser: 1000, fsGroup: 1000} in the pod")

    def storage_class(self) -> None:
        for claim in g.items(self.workload.data, "spec", "volumeClaimTemplates"):
            annotation = "volume.alpha.kubernetes.io/storage-class"
            value = g.text(claim, "metadata", "annotations", annotation)
            if value:
                path = f"spec.volumeClaimTemplates[{g.text(claim, 'metadata', 'name')}].metadata.annotations[{annotation}]"
                message = f"expected spec.storageClassName: Kubernetes ignores this annotation and takes the default class; got {value!r}"
                self.bad("storage-class", path, message, f"set storageClassName: {value} in the spec of the claim, and remove the annotation")

    def claim_names(self) -> None:
        for volume in g.items(g.pod_spec(self.workload), "volumes"):
            claim = g.text(volume, "persistentVolumeClaim", "claimName")
            if claim and claim in self.claims:
                made = f"{claim}-{self.workload.name}-0"
                message = f"expected no such volume: the claim template makes {made} and so on; a claim named {claim!r} does not exist"
                fix = f"remove this volume, and name the template in volumeMounts: name: {claim}"
                self.bad("claim-not-found", f"spec.template.spec.volumes[{volume.get('name')}]", message, fix)
            elif claim and self.s.replicas > 1 and self.is_one_node_only(claim):
                message = f"expected a claim that {self.s.replicas} members may mount; {claim!r} is for one node at a time, and members on others stay Pending"
                fix = "use volumeClaimTemplates of a StatefulSet (overlays/persistent), or an access mode such as ReadWriteMany"
                self.bad("shared-claim", f"spec.template.spec.volumes[{volume.get('name')}]", message, fix)
            elif claim and self.s.replicas > 1 and self.holds_data(volume):
                message = f"expected a claim for each member: {self.s.replicas} members would share {claim!r} and overwrite each other's data"
                self.bad(
                    "shared-claim",
                    f"spec.template.spec.volumes[{volume.get('name')}]",
                    message,
                    "use volumeClaimTemplates of a StatefulSet (overlays/persistent)",
                )

    def is_one_node_only(self, claim: str) -> bool:
        """Whether a claim of the build says that one node may mount it."""
        found = self.graph.resolve("PersistentVolumeClaim", claim, self.workload)
        modes = g.mapping(found.data, "spec").get("accessModes") if found else None
        return isinstance(modes, list) and bool(modes) and all(mode in ("ReadWriteOnce", "ReadWriteOncePod") for mode in modes)

    def holds_data(self, volume: dict[str, Any]) -> bool:
        """Whether every member's broker writes its data into one and the same folder of the volume."""
        if g.mapping(volume, "persistentVolumeClaim").get("readOnly") is True:
            return False
        for mount in g.items(self.container, "volumeMounts"):
            where = f"{g.text(mount, 'mountPath').rstrip('/')}/"
            own = mount.get("readOnly") is True or "$(" in g.text(mount, "subPathExpr")
            if mount.get("name") == volume.get("name") and not own and (where.startswith(_DATA) or _DATA.startswith(where)):
                return True
        return False

    def mounts(self) -> None:
        volumes = {g.text(volume, "name") for volume in g.items(g.pod_spec(self.workload), "volumes")} | set(self.claims)
        mounted = [g.text(mount, "mountPath") for mount in g.items(self.container, "volumeMounts")]
        for mount in g.items(self.container, "volumeMounts"):
            path = f"spec.template.spec.containers[{self.container.get('name')}].volumeMounts[{mount.get('mountPath')}]"
            name = g.text(mount, "name")
            if name not in volumes:
                self.bad(
                    "volume-not-found",
                    path,
                    f"expected a volume of the pod or a claim template; there is no {name!r}",
                    f"use one of {', '.join(sorted(volumes))}" if volumes else "add the volume",
                )
            where = g.text(mount, "mountPath").rstrip("/")
            version = self.s.version
            fix = "remove this mount: the plugin mounts the volume where this version needs it" if self.s.rendered else "mount the volume there"
            if where == "/opt/emqx/data/mnesia" and version.major >= 5:
                message = f"expected /opt/emqx/data: EMQX {version} keeps its configuration and certificates there too, not only mnesia/"
                self.bad("data-mount", path, message, fix)
            hides_plugins = version < _PLUGINS_FIXED.get((version.major, version.minor), Version(4, 3, 0)) and _PLUGINS not in mounted
            if where == "/opt/emqx/data" and hides_plugins:
                reason = f"an empty volume hides loaded_plugins, and EMQX {version} starts without HTTP API and dashboard"
                self.bad("data-mount", path, f"expected /opt/emqx/data/mnesia: over /opt/emqx/data {reason}", fix)
