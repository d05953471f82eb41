"""The model itself, against what real brokers of 4.4.19 and 5.0.26 did in real pods, and what each entrypoint does with an unset host."""

from __future__ import annotations

from typing import Any

import pytest

from . import broker
from .kube import Cluster, Pod, World

Objects = list[dict[str, Any]]

_LABELS = {"app": "emqx"}
_STRATEGY = {4: "EMQX_CLUSTER__DISCOVERY", 5: "EMQX_CLUSTER__DISCOVERY_STRATEGY"}


def variables(version: str, address_type: str, **changes: str | None) -> list[dict[str, Any]]:
    """Hand-written variables: what a careful person needs for k8s discovery, and no EMQX_HOST."""
    found: dict[str, str | None] = {
        _STRATEGY[int(version[0])]: "k8s",
        "EMQX_NAME": "emqx",
        "EMQX_CLUSTER__K8S__APP_NAME": "emqx",
        "EMQX_CLUSTER__K8S__APISERVER": "https://kubernetes.default.svc:443",
        "EMQX_CLUSTER__K8S__SERVICE_NAME": "emqx-headless",
        "EMQX_CLUSTER__K8S__NAMESPACE": "mq",
        "EMQX_CLUSTER__K8S__ADDRESS_TYPE": address_type,
        "EMQX_CLUSTER__K8S__SUFFIX": "svc.cluster.local" if address_type == "hostname" else None,
    }
    ip = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return [ip, *({"name": name, "value": value} for name, value in (found | changes).items() if value is not None)]


def manifests(kind: str, version: str, env: list[dict[str, Any]], **pod: Any) -> Objects:
    metadata = {"name": "emqx", "namespace": "mq"}
    template = {"metadata": {"labels": _LABELS}, "spec": {"containers": [{"name": "emqx", "image": f"emqx/emqx:{version}", "env": env}], **pod}}
    workload = {"kind": kind, "metadata": metadata, "spec": {"replicas": 3, "serviceName": "emqx-headless", "template": template}}
    service = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": _LABELS}
    rule = {"apiGroups": [""], "resources": ["endpoints"], "resourceNames": ["emqx-headless"], "verbs": ["get"]}
    group = "rbac.authorization.k8s.io/v1"
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": "mq"}
    return [
        workload,
        {"kind": "Service", "metadata": {**metadata, "name": "emqx-headless"}, "spec": service},
        {"apiVersion": group, "kind": "Role", "metadata": metadata, "rules": [rule]},
        {"apiVersion": group, "kind": "RoleBinding", "metadata": metadata, "roleRef": {"kind": "Role", "name": "emqx"}, "subjects": [subject]},
    ]


REAL = ("4.4.19", "5.0.26")


@pytest.mark.parametrize("version", REAL)
@pytest.mark.parametrize(("kind", "address_type"), [("StatefulSet", "hostname"), ("Deployment", "ip")])
def test_three_of_three_as_on_real_brokers(kind: str, address_type: str, version: str) -> None:
    outcome = broker.run(manifests(kind, version, variables(version, address_type)))
    assert outcome.is_one_cluster_of(3)
    assert outcome.reasons == ()


@pytest.mark.parametrize("version", REAL)
def test_without_a_role_three_clusters_of_one(version: str) -> None:
    outcome = broker.run([item for item in manifests("StatefulSet", version, variables(version, "hostname")) if item["kind"] != "Role"])
    assert len(outcome.clusters) == 3
    assert all("403" in reason for reason in outcome.reasons)


def test_deployment_with_hostname_is_a_bad_key() -> None:
    outcome = broker.run(manifests("Deployment", "4.4.19", variables("4.4.19", "hostname", EMQX_HOST="$(POD_IP)")))
    assert len(outcome.clusters) == 3
    assert 'badkey,<<"hostname">>' in outcome.reasons[0]


def test_without_published_addresses_it_forms_once_pods_are_ready() -> None:
    objects = manifests("StatefulSet", "4.4.19", variables("4.4.19", "hostname"))
    del objects[1]["spec"]["publishNotReadyAddresses"]
    assert broker.run(objects, World(ready=True)).is_one_cluster_of(3)
    assert not broker.run(objects, World(ready=False)).is_one_cluster_of(3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"EMQX_CLUSTER__DISCOVERY": "kubernetes"}, "discovery 'kubernetes' is none of", id="no-such-strategy"),
        pytest.param({"EMQX_CLUSTER__K8S__APP_NAME": None}, "translation_missing_setting: app_name", id="required-key"),
        pytest.param({"EMQX_CLUSTER__K8S__NAMESPACE": ""}, "translation_missing_setting: namespace", id="empty-is-unset"),
        pytest.param({"EMQX_CLUSTER__K8S__NAMESPACE": "other"}, "the entrypoint exits 1", id="wrong-namespace"),
        pytest.param({"EMQX_CLUSTER__K8S__SUFFIX": "svc.example.org"}, "the entrypoint exits 1", id="wrong-suffix"),
        pytest.param({"EMQX_NAME": "em.qx"}, "the start script refuses the node name", id="name"),
        pytest.param({"EMQX_HOST": "node"}, "a long node name needs", id="short-name"),
    ],
)
def test_what_keeps_4_4_from_starting(changes: dict[str, str | None], reason: str) -> None:
    outcome = broker.run(manifests("StatefulSet", "4.4.19", variables("4.4.19", "hostname", **changes)))
    assert outcome.nodes == ()
    assert reason in outcome.reasons[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"EMQX_NAME": None}, "nobody is called", id="4.x-names-the-node-after-its-pod"),
        pytest.param({"EMQX_CLUSTER__K8S__APISERVER": "http://10.110.111.204:8080"}, "no API server", id="api-server"),
        pytest.param({"EMQX_CLUSTER__K8S__SERVICE_NAME": "emqx"}, "403", id="service"),
        pytest.param({"EMQX_NODE_NAME": "emqx@$(POD_IP)"}, "nobody is called", id="whole-name-by-address"),
        pytest.param({"EMQX_CLUSTER__K8S__SUFFIX": None}, "nobody is called", id="entrypoint-default-is-not-ekkas"),
    ],
)
def test_what_leaves_4_4_nodes_alone(changes: dict[str, str | None], reason: str) -> None:
    outcome = broker.run(manifests("StatefulSet", "4.4.19", variables("4.4.19", "hostname", **changes)))
    assert len(outcome.clusters) == 3
    assert reason in outcome.reasons[0]


POD = Pod("emqx-1", "mq", "10.42.0.9", {}, "emqx-1", "emqx-headless", World())
BY_HOSTNAME = {"EMQX_CLUSTER__K8S__ADDRESS_TYPE": "hostname", "EMQX_CLUSTER__K8S__NAMESPACE": "mq"}
BY_DNS = {"EMQX_CLUSTER__K8S__ADDRESS_TYPE": "dns", "EMQX_CLUSTER__K8S__NAMESPACE": "mq"}
SRV = {"EMQX_CLUSTER__DNS__NAME": "emqx-headless.mq.svc.cluster.local", "EMQX_CLUSTER__DNS__TYPE": "srv", "EMQX_CLUSTER__DNS__RECORD_TYPE": "srv"}
FULL = "emqx-1.emqx-headless.mq.svc.cluster.local"


@pytest.mark.parametrize(
    ("release", "environment", "expected"),
    [
        # Up to 4.3 and in 5.0.0 to 5.0.3 the address type alone decides; later only with the k8s strategy.
        ((4, 1, 5), {"EMQX_NAME": "a", **BY_HOSTNAME}, f"a@{FULL}"),
        ((4, 3, 22), {**BY_HOSTNAME}, f"emqx-1@{FULL}"),
        ((4, 4, 0), {**BY_HOSTNAME}, "emqx-1@10.42.0.9"),
        ((4, 4, 0), {**BY_HOSTNAME, "EMQX_CLUSTER__DISCOVERY": "k8s"}, f"emqx-1@{FULL}"),
        ((5, 0, 3), {**BY_HOSTNAME}, f"emqx@{FULL}"),
        ((5, 0, 4), {**BY_HOSTNAME}, "emqx@10.42.0.9"),
        ((5, 8, 9), {**BY_HOSTNAME, "EMQX_CLUSTER__DISCOVERY_STRATEGY": "k8s"}, f"emqx@{FULL}"),
        ((4, 1, 5), {**BY_DNS}, "emqx-1@10-42-0-9.mq.pod.cluster.local"),
        ((5, 8, 9), {**BY_DNS, "EMQX_CLUSTER__DISCOVERY_STRATEGY": "k8s", "EMQX_CLUSTER__K8S__SUFFIX": "p.x"}, "emqx@10-42-0-9.mq.p.x"),
        # SRV is known to entrypoints from 4.4 and 5.0.4 on.
        ((4, 3, 22), {**SRV, "EMQX_CLUSTER__DISCOVERY": "dns"}, "emqx-1@10.42.0.9"),
        ((4, 4, 19), {**SRV, "EMQX_CLUSTER__DISCOVERY": "dns"}, f"emqx-1@{FULL}"),
        ((5, 0, 3), {**SRV, "EMQX_CLUSTER__DISCOVERY_STRATEGY": "dns"}, "emqx@10.42.0.9"),
        ((5, 0, 4), {**SRV, "EMQX_CLUSTER__DISCOVERY_STRATEGY": "dns"}, f"emqx@{FULL}"),
        # The configuration key counts only where the entrypoint leaves EMQX_NODE_NAME alone.
        ((4, 4, 19), {"EMQX_NODE__NAME": "b@c.d"}, "emqx-1@10.42.0.9"),
        ((5, 0, 20), {"EMQX_NODE__NAME": "b@c.d"}, "emqx@10.42.0.9"),
        ((5, 0, 21), {"EMQX_NODE__NAME": "b@c.d"}, "b@c.d"),
        ((5, 8, 9), {"EMQX_NODE_NAME": "x@y.z", "EMQX_NODE__NAME": "b@c.d", "EMQX_HOST": "h.i"}, "x@y.z"),
        ((5, 8, 9), {"EMQX_HOST": "h.i", **BY_HOSTNAME, "EMQX_CLUSTER__DISCOVERY_STRATEGY": "k8s"}, "emqx@h.i"),
    ],
)
def test_node_names(release: broker.Release, environment: dict[str, str], expected: str) -> None:
    assert broker.node_name(POD, environment, release) == expected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(C)-$$(A)"}, {"name": "C", "value": "3"}], {"A": "1", "B": "1-$(C)-$(A)", "C": "3"}),
        ([{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}], {"A": "12"}),
        ([{"name": "FROM", "value": "env wins"}], {"FROM": "env wins"}),
        ([{"name": "A", "value": "$(FROM)"}], {"A": "a $(B)", "FROM": "a $(B)"}),
    ],
)
def test_the_environment_as_the_kubelet_composes_it(entries: list[dict[str, Any]], expected: dict[str, str]) -> None:
    objects = manifests("StatefulSet", "5.8.9", entries)
    objects[0]["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    objects.append({"kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "mq"}, "data": {"FROM": "a $(B)"}})
    cluster = Cluster(tuple(objects), World())
    assert {"FROM": "a $(B)"} | cluster.environment(cluster.pods()[0]) == {"FROM": "a $(B)"} | expected


def test_a_config_map_that_was_pruned_stops_the_container() -> None:
    objects = manifests("StatefulSet", "5.8.9", variables("5.8.9", "hostname"))
    objects[0]["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "gone-1a2b3c"}}]
    assert "CreateContainerConfigError" in broker.run(objects).reasons[0]


def test_a_service_link_breaks_4_2() -> None:
    objects = manifests("Deployment", "4.2.14", variables("4.2.14", "ip"))
    objects.append({"kind": "Service", "metadata": {"name": "emqx-tcp", "namespace": "mq"}, "spec": {"selector": _LABELS}})
    assert "service link" in broker.run(objects).reasons[0]
    objects[0]["spec"]["template"]["spec"]["enableServiceLinks"] = False
    assert broker.run(objects).is_one_cluster_of(3)


def test_a_probe_on_a_port_that_nobody_serves() -> None:
    objects = manifests("Deployment", "5.0.26", variables("5.0.26", "ip"))
    objects[0]["spec"]["template"]["spec"]["containers"][0]["livenessProbe"] = {"httpGet": {"path": "/status", "port": 8081}}
    assert "livenessProbe: nothing answers at :8081/status" in broker.run(objects).reasons[0]
