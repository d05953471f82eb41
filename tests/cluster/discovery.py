"""What a broker's discovery finds: its requests and the node names that it makes of the answers, for every strategy."""

from __future__ import annotations

from .client import Cluster, Object, path_of
from .live import environment, name_of

Names = frozenset[str]


def own_name(pod: Object) -> str:
    """The name that the pod's node gives itself."""
    variables = environment(pod)
    return f"{variables['EMQX_NAME']}@{variables['EMQX_HOST']}"


def discovered(cluster: Cluster, namespace: str, pod: Object) -> Names:
    """The node names that the pod would look for."""
    variables = environment(pod)
    strategy = variables.get("EMQX_CLUSTER__DISCOVERY_STRATEGY") or variables["EMQX_CLUSTER__DISCOVERY"]
    return {"k8s": through_endpoints, "dns": through_records}[strategy](cluster, namespace, pod, variables)


def through_endpoints(cluster: Cluster, namespace: str, pod: Object, variables: dict[str, str]) -> Names:
    """The one request of the k8s strategy, with the pod's own token."""
    asked = {key.rpartition("__K8S__")[2]: value for key, value in variables.items() if "__K8S__" in key}
    path = f"{path_of(asked['NAMESPACE'], 'v1/endpoints')}/{asked['SERVICE_NAME']}"
    found = cluster.expect(200, "GET", path, token=cluster.token(namespace, pod["spec"]["serviceAccountName"], pod))
    name = asked.get("APP_NAME", variables["EMQX_NAME"])
    hosts = [host_of(address, asked) for address in addresses(found)]
    return frozenset(f"{name}@{host}" for host in hosts)


def host_of(address: Object, asked: dict[str, str]) -> str:
    if asked["ADDRESS_TYPE"] == "ip":
        return str(address["ip"])
    domain = f"{asked['NAMESPACE']}.{asked['SUFFIX']}"
    if asked["ADDRESS_TYPE"] == "hostname":
        return f"{address['hostname']}.{asked['SERVICE_NAME']}.{domain}"
    return f"{address['ip'].replace('.', '-')}.{domain}"


def through_records(cluster: Cluster, namespace: str, pod: Object, variables: dict[str, str]) -> Names:
    """The records that cluster DNS makes of a headless Service, asked for by the name in the pod's variables."""
    domain = variables["EMQX_CLUSTER__DNS__NAME"]
    service, in_namespace, svc, _ = domain.split(".", 3)
    assert (in_namespace, svc) == (namespace, "svc"), domain
    found = cluster.object(namespace, "v1/endpoints", service)
    of_targets = variables.get("EMQX_CLUSTER__DNS__RECORD_TYPE", variables.get("EMQX_CLUSTER__DNS__TYPE")) == "srv"
    hosts = [f"{address['hostname']}.{domain}" if of_targets else address["ip"] for address in addresses(found)]
    name = variables.get("EMQX_CLUSTER__DNS__APP", variables["EMQX_NAME"])
    return frozenset(f"{name}@{host}" for host in hosts)


def addresses(endpoints: Object) -> list[Object]:
    return [address for subset in endpoints.get("subsets", []) for address in subset.get("addresses", [])]


def headless_of(cluster: Cluster, namespace: str, label: str) -> Object:
    """The Service through which the cluster of this label finds itself."""
    services = cluster.items(namespace, "v1/services", labelSelector=f"emqx-gitops.dev/cluster={label},app.kubernetes.io/name=emqx")
    (headless,) = [service for service in services if service["spec"].get("clusterIP") == "None"]
    return cluster.object(namespace, "v1/endpoints", name_of(headless))
