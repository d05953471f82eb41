"""What the links say, and when they hold their tongue: where the YAML does not tell, nothing is refused."""

from __future__ import annotations

from typing import Any

import pytest

from emqx_fn import chain, graph

from .builds import BY_HOSTNAME, BY_IP, Objects, allowed, build, case, link


def container(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = objects[2]["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_all_links_of_a_careful_persons_yaml(kind: str) -> None:
    found = chain.links(case(allowed(build(kind))))
    names = ["image", "node name", "strategy", "source", "names", "same names", "permission", "token", "member ports", "cookie"]
    assert [item.name for item in found] == names
    assert all(item.ok and item.known for item in found)
    assert chain.check(case(allowed(build(kind)))) == []


def test_the_line_of_issue_14896() -> None:
    """Discovery by hostname while the nodes are named by address."""
    found = link(allowed(build("StatefulSet", env=BY_HOSTNAME | {"EMQX_HOST": "$(POD_IP)"})), "same names")
    assert found.problem is not None
    assert found.problem.message == (
        "expected discovery to return the name that each member gives itself, emqx@<ip>; "
        "got emqx@<pod>.emqx-headless.mq.svc.cluster.local: every member would stay alone"
    )
    assert found.problem.fix == "set EMQX_HOST: $(POD_NAME).emqx-headless.mq.svc.cluster.local"


@pytest.mark.parametrize(
    ("version", "env", "name"),
    [
        ("5.8.9", {"EMQX_NODE__NAME": "mq@$(POD_IP)"}, "mq@<ip>"),
        ("5.0.20", {"EMQX_NODE__NAME": "mq@$(POD_IP)"}, "emqx@<ip>"),
        ("5.8.9", {"EMQX_NODE_NAME": "a@$(POD_IP)", "EMQX_NODE__NAME": "mq@$(POD_IP)"}, "a@<ip>"),
        (
            "4.3.22",
            {"EMQX_NAME": "emqx", "EMQX_CLUSTER__K8S__ADDRESS_TYPE": "dns", "EMQX_CLUSTER__K8S__NAMESPACE": "mq"},
            "emqx@<dashed-ip>.mq.pod.cluster.local",
        ),
        ("4.4.19", {"EMQX_NAME": "emqx", "EMQX_CLUSTER__K8S__ADDRESS_TYPE": "dns", "EMQX_CLUSTER__K8S__NAMESPACE": "mq"}, "emqx@<ip>"),
    ],
)
def test_node_names(version: str, env: dict[str, str], name: str) -> None:
    assert link(build(version=version, env=env), "node name").text == name


def test_the_entrypoint_finds_the_pods_line_of_hosts() -> None:
    env = {key: value for key, value in BY_HOSTNAME.items() if key != "EMQX_HOST"}
    assert link(build("StatefulSet", env=env), "node name").text == "emqx@<pod>.emqx-headless.mq.svc.cluster.local"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda objects: container(objects).update(command=["sh", "-c", "exec /opt/emqx/bin/emqx foreground"]), id="own-command"),
        pytest.param(lambda objects: container(objects).update(envFrom=[{"secretRef": {"name": "emqx-env"}}]), id="secret-elsewhere"),
        pytest.param(lambda objects: container(objects).update(envFrom=[{"configMapRef": {"name": "emqx-env"}}]), id="config-map-elsewhere"),
        pytest.param(lambda objects: container(objects).update(volumeMounts=[{"name": "conf", "mountPath": "/opt/emqx/etc/emqx.conf"}]), id="file"),
        pytest.param(lambda objects: container(objects)["env"].append({"name": "EMQX_CLUSTER", "value": "{discovery_strategy: k8s}"}), id="branch"),
    ],
)
def test_what_the_yaml_does_not_tell_is_not_judged(change: Any) -> None:
    objects = build(env={"EMQX_NAME": "emqx", "EMQX_HOST": "$(POD_IP)"})
    change(objects)
    assert not link(objects, "strategy").known
    assert chain.check(case(objects)) == []


def test_a_role_that_is_not_in_the_build_is_not_judged() -> None:
    objects = [item for item in allowed(build()) if item["kind"] != "Role"]
    assert link(objects, "permission").text == "RoleBinding/emqx gives what Role/emqx says, which is not in the build"
    assert chain.check(case(objects)) == []


@pytest.mark.parametrize("strategy", ["manual", "static", "singleton"])
def test_who_joins_members_by_hand_is_left_alone(strategy: str) -> None:
    assert chain.check(case(build("StatefulSet", env={"EMQX_CLUSTER__DISCOVERY_STRATEGY": strategy, "EMQX_NAME": "$(POD_NAME)"}))) == []


def test_one_member_needs_nobody() -> None:
    objects = build(env={})
    assert len(chain.check(case(objects))) == 1
    objects[2]["spec"]["replicas"] = 1
    assert chain.check(case(objects)) == []


def test_a_replicant_asks_for_others() -> None:
    found = chain.links(case(build(env=BY_IP | {"EMQX_NODE__ROLE": "replicant"})))
    assert [item.name for item in found] == ["image", "role", "core names"]


def test_a_cookie_may_come_from_a_secret_elsewhere() -> None:
    objects = build(env=BY_IP)
    container(objects).update(env=[item for item in container(objects)["env"] if "COOKIE" not in item["name"]], envFrom=[{"secretRef": {"name": "elsewhere"}}])
    assert not link(objects, "cookie").known


@pytest.mark.parametrize(
    ("selector", "answer"),
    [
        ({}, True),
        ({"matchLabels": {"app": "mq"}}, True),
        ({"matchLabels": {"app": "other"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["mq", "x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["mq"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["mq"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Near"}]}, None),
        ({"matchExpressions": [{"key": "pod-template-hash", "operator": "Exists"}]}, None),
        ({"matchLabels": {"app": "other"}, "matchExpressions": [{"key": "app", "operator": "Near"}]}, False),
    ],
)
def test_label_selectors(selector: dict[str, Any], answer: bool | None) -> None:
    assert graph.matches(selector, {"app": "mq"}) is answer


def test_a_missing_strategy_comes_before_a_missing_name() -> None:
    found = chain.check(case(build(version="4.4.19", env={})))
    assert [problem.message.partition(";")[0] for problem in found] == [
        "expected a discovery strategy",
        "expected one name before the @ for all members, of letters, digits, - and _",
    ]


@pytest.mark.parametrize(("address_type", "host"), [("ip", "$(POD_IP)"), ("hostname", "$(POD_NAME).emqx-headless.$(POD_NAMESPACE).svc.cluster.local")])
def test_the_host_to_set_is_of_the_form_that_discovery_returns(address_type: str, host: str) -> None:
    problem = link(build("StatefulSet", env=BY_HOSTNAME | {"EMQX_HOST": "emqx", "EMQX_CLUSTER__K8S__ADDRESS_TYPE": address_type}), "node name").problem
    assert problem is not None
    assert problem.fix == f"set EMQX_HOST: {host}"
