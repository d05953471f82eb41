"""Members that run in real containers, on real renderings, find each other and stay who they are.

Kubernetes is real: the environment that the kubelet composes, tokens, DNS, probes, volumes, permissions. The member is a model,
tests/e2e/member says of what. The tests of `lives` are a story: each goes on from what the one before it left.
Who is done ends its namespace, for the node has few processors; whatever is left ends with the node.
"""

from __future__ import annotations

from typing import Any

import pytest

from cluster.client import Refused
from cluster.live import name_of
from cluster.rendering import FAMILIES, Clone, Document, clone_into, documents, settings_patch

from .brokers import Brokers, Change, running, start_all
from .members import uids
from .node import Node
from .nodes import ready
from .waiting import until_fine

LARGER = {"configMapGenerator": [{"name": "emqx-env", "behavior": "merge", "literals": ["EMQX_MQTT__MAX_PACKET_SIZE=2MB"]}]}


def dns(kind: str) -> Document:
    return {"patches": [settings_patch({"discovery": {"strategy": "dns", "recordType": kind}})]}


LIVES: dict[str, tuple[str, Document]] = {
    "deployment-ip": ("deployment-ip", {}),
    "statefulset-hostname": ("statefulset-hostname", {}),
    "persistent": ("persistent", {}),
    "dns-srv": ("persistent", dns("srv")),
    "dns-a": ("deployment-ip", dns("a")),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return clone_into(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def lives(node: Node, clone: Clone) -> list[Brokers]:
    """A cluster on each overlay, and with each kind of DNS record."""
    started = [Brokers(node, clone, overlay, name, fields=fields) for name, (overlay, fields) in LIVES.items()]
    start_all(started)
    return started


def test_members_find_each_other(lives: list[Brokers]) -> None:
    for brokers in lives:
        found = brokers.await_formed()
        assert all(report["starts"] == 1 and report["data_of_others"] == [] for report in found.values())


def test_deleted_pod_comes_back_as_the_same_member(lives: list[Brokers]) -> None:
    before = {brokers.namespace: brokers.await_formed() for brokers in lives}
    gone = {brokers.namespace: brokers.pods()[0] for brokers in lives}
    for brokers in lives:
        brokers.delete_pods(name_of(gone[brokers.namespace]))
    for brokers in lives:
        old, victim = before[brokers.namespace], name_of(gone[brokers.namespace])
        after = brokers.await_formed(none_of=uids([gone[brokers.namespace]]))
        others = {name: life(report) for name, report in old.items() if name != victim}
        assert {name: life(after[name]) for name in others} == others
        compare(brokers, {victim: old[victim]}, after)


def test_all_pods_deleted_at_once(lives: list[Brokers]) -> None:
    before = {brokers.namespace: (uids(brokers.pods()), brokers.await_formed()) for brokers in lives}
    for brokers in lives:
        brokers.delete_pods()
    for brokers in lives:
        pods, old = before[brokers.namespace]
        compare(brokers, old, brokers.await_formed(none_of=pods))


def test_changed_setting_rolls_the_members(lives: list[Brokers]) -> None:
    before = {brokers.namespace: (uids(brokers.pods()), brokers.await_formed()) for brokers in lives}
    for brokers in lives:
        brokers.apply(documents(brokers.render(**LARGER)))
    for brokers in lives:
        pods, old = before[brokers.namespace]
        after = brokers.await_formed(none_of=pods)
        assert {report["max_packet_size"] for report in after.values()} == {"2MB"}
        compare(brokers, old, after)
        brokers.end()


def life(report: Any) -> tuple[str, str, int]:
    return report["name"], report["id"], report["starts"]


def compare(brokers: Brokers, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Members that have started once more are who they were, as far as their overlay promises."""
    for pod, report in old.items():
        if brokers.overlay == "persistent":
            assert life(new[pod]) == (report["name"], report["id"], report["starts"] + 1)
        elif brokers.overlay == "statefulset-hostname":
            assert new[pod]["name"] == report["name"]
            assert new[pod]["id"] != report["id"]
        else:
            assert pod not in new
            assert report["name"] not in {one["name"] for one in new.values()}


FORMED = {
    "4.1": ("persistent", {}),
    "4.4": ("deployment-ip", {}),
    "5.0": ("statefulset-hostname", dns("srv")),
    "6.2": ("persistent", {}),
}


@pytest.fixture(scope="module")
def families(node: Node, clone: Clone) -> dict[str, Brokers]:
    """A cluster of other releases, whose members read other variables, answer other probes and end otherwise."""
    started = {name: Brokers(node, clone, overlay, f"family-{name.replace('.', '-')}", FAMILIES[name], fields) for name, (overlay, fields) in FORMED.items()}
    start_all(started.values())
    return started


@pytest.mark.parametrize("name", FORMED)
def test_members_of_another_family(families: dict[str, Brokers], name: str) -> None:
    brokers = families[name]
    before = brokers.await_formed()
    assert {report["release"] for report in before.values()} == {FAMILIES[name].tag.removeprefix("v")}
    pod = brokers.pods()[0]
    brokers.delete_pods(name_of(pod))
    compare(brokers, {name_of(pod): before[name_of(pod)]}, brokers.await_formed(none_of=uids([pod])))
    brokers.end()


# -- one wrong setting at a time: the function refuses these, so they are made by hand in what it rendered


def without(*kinds: str) -> Change:
    return lambda objects: [one for one in objects if one["kind"] not in kinds]


def with_variable(name: str, value: str | None) -> Change:
    """Another value of a variable, or none."""

    def change(objects: list[Document]) -> list[Document]:
        container = workload(objects)["spec"]["template"]["spec"]["containers"][0]
        assert name in {entry["name"] for entry in container["env"]}, name
        new = [] if value is None else [{"name": name, "value": value}]
        container["env"] = [one for entry in container["env"] for one in (new if entry["name"] == name else [entry])]
        return objects

    return change


def with_pod_field(name: str, value: Any) -> Change:
    def change(objects: list[Document]) -> list[Document]:
        workload(objects)["spec"]["template"]["spec"][name] = value
        return objects

    return change


def governed_by(service: str) -> Change:
    def change(objects: list[Document]) -> list[Document]:
        workload(objects)["spec"]["serviceName"] = service
        return objects

    return change


def workload(objects: list[Document]) -> Document:
    (found,) = [one for one in objects if one["kind"] in ("Deployment", "StatefulSet")]
    return found


HOSTNAME, ADDRESS = "statefulset-hostname", "deployment-ip"
# overlay, family, what is wrong, what the members say is missing
WRONG: dict[str, tuple[str, str, Change, str]] = {
    "no-role": (HOSTNAME, "5.8", without("Role", "RoleBinding"), 'Discovery error: {403, endpoints "emqx-headless" is forbidden: User "system:serviceaccount:'),
    "other-service": (HOSTNAME, "5.8", with_variable("EMQX_CLUSTER__K8S__SERVICE_NAME", "emqx"), '{403, endpoints "emqx" is forbidden'),
    "suffix": (HOSTNAME, "5.8", with_variable("EMQX_CLUSTER__K8S__SUFFIX", "svc.cluster.lokal"), "svc.cluster.lokal': Name or service not known"),
    "no-suffix": (HOSTNAME, "4.4", with_variable("EMQX_CLUSTER__K8S__SUFFIX", None), "emqx@emqx-0: port 4370 of 'emqx-0': "),
    "no-token": (HOSTNAME, "5.8", with_pod_field("automountServiceAccountToken", False), "no service account token in /var/run/secrets/"),
    "governing-service": (HOSTNAME, "5.8", governed_by("emqx"), '{badkey,<<"hostname">>}'),
    "hostname-of-deployment": (ADDRESS, "5.8", with_variable("EMQX_CLUSTER__K8S__ADDRESS_TYPE", "hostname"), '{badkey,<<"hostname">>}'),
    "api-server": (
        ADDRESS,
        "5.8",
        with_variable("EMQX_CLUSTER__K8S__APISERVER", "https://kubernetes.default.svc:8443"),
        "no API server at 'https://kubernetes.default.svc:8443'",
    ),
    "no-strategy": (ADDRESS, "5.8", with_variable("EMQX_CLUSTER__DISCOVERY_STRATEGY", None), "discovery is manual: nobody is asked"),
    "cookie": (ADDRESS, "5.8", with_variable("EMQX_NODE__COOKIE", "$(POD_NAME)"), "has another cookie"),
    "no-name": (HOSTNAME, "4.4", with_variable("EMQX_NAME", None), ": emqx-0@emqx-0.emqx-headless.wrong-no-name.svc.cluster.local answers"),
    "no-licence": (ADDRESS, "6.2", with_variable("EMQX_LICENSE__KEY", None), "refuses: SINGLE_NODE_LICENSE"),
}


@pytest.fixture(scope="module")
def wrong(node: Node, clone: Clone) -> dict[str, Brokers]:
    """Two members for each wrong setting."""
    changes = {how: (overlay, family, change) for how, (overlay, family, change, _) in WRONG.items()}
    changes |= {"address": ("persistent", "5.8", by_address), "group": ("persistent", "5.8", without_group)}
    started = {
        how: Brokers(node, clone, overlay, f"wrong-{how}", FAMILIES[family], change=change, members=2) for how, (overlay, family, change) in changes.items()
    }
    start_all(started.values())
    return started


@pytest.mark.parametrize("how", WRONG)
def test_members_say_what_is_missing(wrong: dict[str, Brokers], how: str) -> None:
    """They run, are ready, and are alone: only what they say tells."""
    brokers, expected = wrong[how], WRONG[how][-1]

    def problem() -> str:
        there = {name_of(pod): (ready(pod), brokers.report(name_of(pod))) for pod in brokers.pods()}
        fine = len(there) == 2 and all(is_ready and report and expected in report["problem"] for is_ready, report in there.values())
        return "" if fine else str(there)

    until_fine(f"two lonely members in {brokers.namespace}", problem)
    for pod, report in brokers.reports().items():
        assert running(report) == [report["name"]]
        assert expected in brokers.log(pod)
    brokers.end()


def by_address(objects: list[Document]) -> list[Document]:
    return with_variable("EMQX_CLUSTER__K8S__ADDRESS_TYPE", "ip")(with_variable("EMQX_HOST", "$(POD_IP)")(objects))


def without_group(objects: list[Document]) -> list[Document]:
    del workload(objects)["spec"]["template"]["spec"]["securityContext"]["fsGroup"]
    return objects


def test_members_named_by_address_lose_what_their_claims_hold(wrong: dict[str, Brokers]) -> None:
    brokers = wrong["address"]
    before, pods = brokers.await_formed(), uids(brokers.pods())
    brokers.delete_pods()
    for pod, report in brokers.await_formed(none_of=pods).items():
        assert report["id"] != before[pod]["id"]
        assert report["data_of_others"] == [before[pod]["name"]]
        assert f"the data of {before[pod]['name']} is not its own: it starts without" in brokers.log(pod)
    brokers.end()


def test_volume_without_group_cannot_be_written(wrong: dict[str, Brokers]) -> None:
    expected = "it does not start: [Errno 13] Permission denied: '/opt/emqx/data/mnesia'\n"

    def problem() -> str:
        said = log_of_first(wrong["group"])
        return "" if said == expected else said or "nothing"

    until_fine("a member that cannot write says so", problem)
    wrong["group"].end()


def log_of_first(brokers: Brokers) -> str:
    """The log of the first pod, or why there is none yet."""
    try:
        return brokers.log("emqx-0")
    except Refused as error:
        return str(error)
