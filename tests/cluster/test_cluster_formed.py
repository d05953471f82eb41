"""The check that the members found each other, in a real API server: what its Job may, and whom its Service names."""

from __future__ import annotations

import pytest

from .client import Cluster, Object, eventually, path_of
from .live import await_pods, bind, name_of, report_ready
from .rendering import FAMILIES, OVERLAYS, Clone, build, documents, of_kind
from .test_apply import accepts

COMPONENT = ["../../base/cluster-formed"]


@pytest.mark.parametrize("family", ["4.1", "4.4", "5.0.3", "5.8", "6.2"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_family_is_accepted(cluster: Cluster, namespace: str, clone: Clone, overlay: str, family: str) -> None:
    accepts(cluster, namespace, build(clone.over(overlay, "user", namespace=namespace, components=COMPONENT, **FAMILIES[family].fields())))


def job_pod(cluster: Cluster, namespace: str) -> Object:
    (found,) = cluster.items(namespace, "v1/pods", labelSelector="app.kubernetes.io/name=emqx-cluster-formed")
    return found


def test_pod_of_the_job_is_admitted_and_has_no_token(cluster: Cluster, namespace: str, clone: Clone) -> None:
    stream = build(clone.over("persistent", "user", namespace=namespace, components=COMPONENT))
    cluster.apply(namespace, stream)
    await_pods(cluster, namespace, 4)
    pod = job_pod(cluster, namespace)
    assert pod["spec"]["serviceAccountName"] == "emqx-cluster-formed"
    assert "volumes" not in pod["spec"]
    token = cluster.token(namespace, "emqx-cluster-formed")
    for resource in ("v1/pods", "v1/secrets", "v1/endpoints"):
        assert cluster.request("GET", path_of(namespace, resource), token=token).status == 403
    admitted = [rule for policy in of_kind(stream, "NetworkPolicy") for rule in policy["spec"]["ingress"] if admits(rule, pod["metadata"]["labels"])]
    # Beside what is open to all pods of the namespace, and to everybody: the HTTP API again.
    assert [rule["ports"] for rule in admitted if "from" in rule] == [[{"port": "dashboard"}]] * 2


def admits(rule: Object, labels: Object) -> bool:
    froms = rule.get("from")
    return froms is None or any(one["podSelector"].get("matchLabels", {}).items() <= labels.items() for one in froms)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_service_names_ready_members_of_the_newest_template(cluster: Cluster, namespace: str, clone: Clone, overlay: str) -> None:
    settings = {"configMapGenerator": [{"name": "emqx-env", "behavior": "merge", "literals": ["EMQX_MQTT__MAX_QOS_ALLOWED=1"]}]}
    old, new = (build(clone.over(overlay, name, namespace=namespace, components=COMPONENT, **more)) for name, more in (("old", {}), ("new", settings)))
    assert job_name(old) != job_name(new)
    cluster.apply(namespace, old)
    await_pods(cluster, namespace, 4)
    members = [pod for pod in cluster.items(namespace, "v1/pods") if name_of(pod) != name_of(job_pod(cluster, namespace))]
    for number, pod in enumerate(members, start=1):
        bind(cluster, namespace, pod)
        assert len(named(cluster, namespace)) == number - 1
        report_ready(cluster, namespace, pod, f"10.0.0.{number}")
        eventually(lambda number=number: len(named(cluster, namespace)) == number, f"{number} members named")  # type: ignore[misc]
    cluster.apply(namespace, new)
    eventually(lambda: named(cluster, namespace) == set(), "no member of the new template")
    assert len(cluster.items(namespace, "batch/v1/jobs")) == 2


def job_name(stream: str) -> str:
    (job,) = (item for item in documents(stream) if item["kind"] == "Job")
    return name_of(job)


def named(cluster: Cluster, namespace: str) -> set[str]:
    """The addresses that DNS answers with."""
    subsets = cluster.object(namespace, "v1/endpoints", "emqx-cluster-formed").get("subsets") or []
    return {address["ip"] for subset in subsets for address in subset.get("addresses", [])}
