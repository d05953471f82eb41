"""What Kubernetes makes of rendered objects: pods, their environment, Endpoints, DNS, permissions, network policy.

Written from Kubernetes' documented behaviour and never from the function, so that the two can disagree.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Data = dict[str, Any]

_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")
# Ends of ReplicaSet pod names: trailing digits on purpose, because a node named after its pod would listen elsewhere.
_ENDS = ("x2k47", "9q8fz", "lm4w2", "t7c5d", "b6v93")


class NotStarted(Exception):
    """The kubelet or the API server never starts this container."""


@dataclass(frozen=True)
class World:
    """What the manifests do not say: the cluster's DNS domain, the pods' address family, and whether pods are ready yet."""

    domain: str = "cluster.local"
    ip_family: str = "IPv4"
    ready: bool = False
    first_address: int = 11


@dataclass(frozen=True)
class Pod:
    """A pod as it runs. `hostname` and `subdomain` are the pod's fields; `names` are its lines of /etc/hosts."""

    name: str
    namespace: str
    ip: str
    template: Data
    hostname: str
    subdomain: str
    world: World

    @property
    def labels(self) -> dict[str, str]:
        return {key: str(value) for key, value in (path(self.template, "metadata", "labels") or {}).items()}

    @property
    def annotations(self) -> dict[str, str]:
        return path(self.template, "metadata", "annotations") or {}

    @property
    def spec(self) -> Data:
        return path(self.template, "spec") or {}

    @property
    def system_hostname(self) -> str:
        """What `hostname` prints."""
        return self.hostname or self.name

    @property
    def hosts_line(self) -> str:
        """The pod's own line of /etc/hosts: with a fully qualified name only where there is a subdomain."""
        fqdn = f"{self.system_hostname}.{self.subdomain}.{self.namespace}.svc.{self.world.domain}"
        return "\t".join([self.ip, fqdn, self.system_hostname] if self.subdomain else [self.ip, self.system_hostname])


def path(data: Any, *keys: str | int) -> Any:
    """The value at a path, or None."""
    for key in keys:
        if isinstance(data, list) and isinstance(key, int):
            data = data[key] if key < len(data) else None
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return data


@dataclass(frozen=True)
class Cluster:
    """The applied objects of one build."""

    objects: tuple[Data, ...]
    world: World

    def of(self, *kinds: str, namespace: str | None = None) -> Iterator[Data]:
        for item in self.objects:
            if item.get("kind") in kinds and (namespace is None or path(item, "metadata", "namespace") == namespace):
                yield item

    def get(self, kind: str, namespace: str, name: str) -> Data | None:
        return next((item for item in self.of(kind, namespace=namespace) if path(item, "metadata", "name") == name), None)

    # -- workloads to pods

    def pods(self) -> list[Pod]:
        """The pods of all workloads that run EMQX."""
        result: list[Pod] = []
        for workload in self.of("Deployment", "StatefulSet"):
            if emqx_container(path(workload, "spec", "template") or {}) is not None:
                result += self._replicas(workload, len(result))
        return result

    def _replicas(self, workload: Data, before: int) -> list[Pod]:
        name, namespace = path(workload, "metadata", "name"), path(workload, "metadata", "namespace") or "default"
        template, stateful = path(workload, "spec", "template"), workload["kind"] == "StatefulSet"
        replicas = path(workload, "spec", "replicas")
        pods = []
        for index in range(1 if replicas is None else replicas):
            pod = f"{name}-{index}" if stateful else f"{name}-6f9d8b7c54-{_ENDS[index]}"
            hostname = pod if stateful else path(template, "spec", "hostname") or ""
            subdomain = (path(workload, "spec", "serviceName") if stateful else path(template, "spec", "subdomain")) or ""
            pods.append(Pod(pod, namespace, self._address(before + index), template, hostname, subdomain, self.world))
        return pods

    def _address(self, index: int) -> str:
        number = self.world.first_address + 7 * index
        return f"fd00:10:42::{number:x}" if self.world.ip_family == "IPv6" else f"10.42.{number % 3}.{number}"

    # -- the container's environment

    def environment(self, pod: Pod) -> dict[str, str]:
        """As the kubelet composes it: envFrom, then env in order, `$(VAR)` from what is known so far."""
        container = emqx_container(pod.template)
        assert container is not None
        found: dict[str, str] = {}
        for source in container.get("envFrom") or []:
            found |= self._env_from(pod, source)
        for entry in container.get("env") or []:
            found[entry["name"]] = self._value(pod, entry, found)
        return found

    def _env_from(self, pod: Pod, source: Data) -> dict[str, str]:
        prefix = source.get("prefix", "")
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if field in source:
                item = self.get(kind, pod.namespace, source[field]["name"])
                if item is None and not source[field].get("optional"):
                    raise NotStarted(f"CreateContainerConfigError: {kind} {source[field]['name']!r} not found")
                return {prefix + key: str(value) for key, value in ((item or {}).get("data") or {}).items()}
        raise AssertionError(source)

    def _value(self, pod: Pod, entry: Data, known: dict[str, str]) -> str:
        if entry.get("value"):
            return _REFERENCE.sub(lambda match: "$" if match[0] == "$$" else known.get(match[1], match[0]), entry["value"])
        source = entry.get("valueFrom") or {}
        if "fieldRef" in source:
            return self._field(pod, source["fieldRef"]["fieldPath"])
        if "secretKeyRef" in source:  # the content is not in the build: any text that two Secrets do not share
            reference = source["secretKeyRef"]
            return f"secret.{pod.namespace}.{reference['name']}.{reference['key']}"
        if "configMapKeyRef" in source:
            reference = source["configMapKeyRef"]
            return str(path(self.get("ConfigMap", pod.namespace, reference["name"]), "data", reference["key"]) or "")
        return ""

    def _field(self, pod: Pod, field: str) -> str:
        keyed = re.fullmatch(r"metadata\.(annotations|labels)\['(.*)'\]", field)
        if keyed:
            return (pod.annotations if keyed[1] == "annotations" else pod.labels).get(keyed[2], "")
        fields = {"metadata.name": pod.name, "metadata.namespace": pod.namespace, "status.podIP": pod.ip, "status.podIPs": pod.ip}
        return fields[field]

    # -- what a Service gives

    def members(self, service: Data, *, ready: bool | None = None) -> list[Pod]:
        """Pods that the Service lists: the ready ones, or all where it publishes addresses that are not ready."""
        selector = path(service, "spec", "selector") or {}
        published = path(service, "spec", "publishNotReadyAddresses") is True
        listed = published or (self.world.ready if ready is None else ready)
        namespace = path(service, "metadata", "namespace") or "default"
        return [pod for pod in self.pods() if selector and listed and pod.namespace == namespace and matches(selector, pod.labels)]

    def endpoint_hostname(self, service: Data, pod: Pod) -> str:
        """`hostname` of the pod's address in the Endpoints: only where the Service is the one its DNS name hangs on."""
        return pod.hostname if pod.hostname and pod.subdomain == path(service, "metadata", "name") else ""

    def resolve(self, name: str) -> list[str]:
        """A and AAAA records of a name inside the cluster."""
        if is_address(name):
            return [name]
        dashed = re.fullmatch(rf"(\d+-\d+-\d+-\d+)\.([-a-z0-9]+)\.pod\.{re.escape(self.world.domain)}", name)
        if dashed:
            return [dashed[1].replace("-", ".")]
        match = re.fullmatch(rf"(?:([^.]+)\.)?([^.]+)\.([^.]+)\.svc\.{re.escape(self.world.domain)}", name.rstrip("."))
        service = self.get("Service", match[3], match[2]) if match else None
        if match is None or service is None:
            return []
        if path(service, "spec", "clusterIP") != "None":
            return [] if match[1] else ["10.96.0.77"]
        return [pod.ip for pod in self.members(service) if match[1] in (None, self._record(service, pod))]

    def _record(self, service: Data, pod: Pod) -> str:
        return self.endpoint_hostname(service, pod) or pod.ip.replace(".", "-").replace(":", "-")

    def services_targets(self, name: str) -> list[str]:
        """Targets of the SRV records of a headless Service's own name."""
        match = re.fullmatch(rf"([^.]+)\.([^.]+)\.svc\.{re.escape(self.world.domain)}", name.rstrip("."))
        service = self.get("Service", match[2], match[1]) if match else None
        if match is None or service is None or path(service, "spec", "clusterIP") != "None":
            return []
        return [f"{self._record(service, pod)}.{match[0]}" for pod in self.members(service)]

    # -- permissions

    def account(self, pod: Pod) -> str:
        """Name of the pod's ServiceAccount. Raises where the API server would refuse the pod."""
        name = pod.spec.get("serviceAccountName") or "default"
        if not _DNS_SUBDOMAIN.fullmatch(name):
            raise NotStarted(f"the API server refuses serviceAccountName {name!r}")
        if name != "default" and self.get("ServiceAccount", pod.namespace, name) is None:
            raise NotStarted(f"ServiceAccount {name!r} not found")
        return name

    def has_token(self, pod: Pod) -> bool:
        account = self.get("ServiceAccount", pod.namespace, self.account(pod)) or {}
        said = pod.spec.get("automountServiceAccountToken")
        return bool(account.get("automountServiceAccountToken", True) if said is None else said)

    def may_get_endpoints(self, pod: Pod, namespace: str, service: str) -> bool:
        """Whether a bound Role lets the pod's ServiceAccount get this one object."""
        return any(
            "get" in rule.get("verbs", ())
            and "" in rule.get("apiGroups", ())
            and "endpoints" in rule.get("resources", ())
            and service in rule.get("resourceNames", [service])
            for role in self._roles(pod, namespace)
            for rule in role.get("rules") or []
        )

    def _roles(self, pod: Pod, namespace: str) -> Iterator[Data]:
        subject = ("ServiceAccount", self.account(pod), pod.namespace)
        for binding in self.of("RoleBinding", namespace=namespace):
            if any((item.get("kind"), item.get("name"), item.get("namespace")) == subject for item in binding.get("subjects") or []):
                role = self.get(path(binding, "roleRef", "kind"), namespace, path(binding, "roleRef", "name"))
                group = path(binding, "roleRef", "apiGroup") or "rbac.authorization.k8s.io"
                if role is not None and role["apiVersion"] == binding["apiVersion"] == f"{group}/v1" == "rbac.authorization.k8s.io/v1":
                    yield role

    # -- network policy

    def admits(self, source: Pod, target: Pod, port: int) -> bool:
        """Whether the policies let `source` open a TCP connection to a port of `target`."""
        return self._side("Ingress", target, source, target, port) and self._side("Egress", source, target, target, port)

    def _side(self, direction: str, subject: Pod, peer: Pod, target: Pod, port: int) -> bool:
        policies = [item for item in self.of("NetworkPolicy", namespace=subject.namespace) if self._applies(item, direction, subject)]
        rules = [rule for item in policies for rule in path(item, "spec", direction.lower()) or []]
        return not policies or any(self._rule(rule, "from" if direction == "Ingress" else "to", subject, peer, target, port) for rule in rules)

    def _applies(self, policy: Data, direction: str, pod: Pod) -> bool:
        spec = policy["spec"]
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
        return direction in types and matches_selector(spec.get("podSelector") or {}, pod.labels)

    def _rule(self, rule: Data, key: str, subject: Pod, peer: Pod, target: Pod, port: int) -> bool:
        peers, ports = rule.get(key) or [], rule.get("ports") or []
        by_peer = not peers or any(self._peer(item, subject, peer) for item in peers)
        return by_peer and (not ports or any(self._port(item, target, port) for item in ports))

    def _peer(self, item: Data, subject: Pod, peer: Pod) -> bool:
        if "ipBlock" in item:
            return ipaddress.ip_address(peer.ip) in ipaddress.ip_network(item["ipBlock"]["cidr"])
        labels = {"kubernetes.io/metadata.name": peer.namespace}
        near = matches_selector(item["namespaceSelector"], labels) if "namespaceSelector" in item else peer.namespace == subject.namespace
        return near and matches_selector(item.get("podSelector") or {}, peer.labels)

    def _port(self, item: Data, target: Pod, port: int) -> bool:
        wanted = item.get("port")
        if item.get("protocol", "TCP") != "TCP":
            return False
        if isinstance(wanted, str):
            wanted = named_port(target.template, wanted)
        return (wanted is None and "port" not in item) or wanted == port or (isinstance(wanted, int) and wanted <= port <= item.get("endPort", wanted))


def emqx_container(template: Data) -> Data | None:
    """The container that runs EMQX: by its image's name, or by its own."""
    containers = path(template, "spec", "containers") or []
    by_image = (item for item in containers if re.search(r"(^|/)emqx(-ee|-enterprise)?(:|@|$)", item.get("image", "")))
    by_name = (item for item in containers if item.get("name") == "emqx")
    return next(by_image, None) or next(by_name, None)


def named_port(template: Data, name: str) -> int | None:
    """The container port of this name, in any container of the pod."""
    for container in path(template, "spec", "containers") or []:
        for port in container.get("ports") or []:
            if port.get("name") == name and port.get("protocol", "TCP") == "TCP":
                return int(port["containerPort"])
    return None


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether an equality selector picks these labels."""
    return all(labels.get(key) == str(value) for key, value in selector.items())


def matches_selector(selector: Data, labels: dict[str, str]) -> bool:
    """A label selector with matchLabels and matchExpressions; an empty one picks everything."""
    return matches(selector.get("matchLabels") or {}, labels) and all(_expression(item, labels) for item in selector.get("matchExpressions") or [])


def _expression(item: Data, labels: dict[str, str]) -> bool:
    listed, present = labels.get(item["key"]) in (item.get("values") or []), item["key"] in labels
    return {"In": listed, "NotIn": not listed, "Exists": present, "DoesNotExist": not present}[item["operator"]]


def is_address(text: str) -> bool:
    """Whether this is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
