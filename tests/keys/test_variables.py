"""Names: what a release does not read, what it reads without effect, and two variables for one setting."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emqx_fn import plan, variables
from emqx_fn.family import edition_of_image, family
from emqx_fn.keytable import FAMILIES, NEWEST, table, variable
from emqx_fn.settings import Settings
from emqx_fn.spec import Listener, SecretKey

from .tables import ALL, env, lines, newest, release, rows, said

NO_RELEASE = "no release reads this one, and the broker would not say so"
PRIVATE = "; a key of EMQX Enterprise 4.x only, which no table lists, goes into spec.policy.allow"


def unknown(version: str, name: str, fix: str) -> str:
    return f"error unknown-variable env[{name}]: expected a variable that EMQX {version} reads; {NO_RELEASE} | {fix}"


def foreign(version: str, name: str, spans: str, fix: str) -> str:
    return f"error other-family env[{name}]: expected a variable that EMQX {version} reads; got one of EMQX {spans} | {fix}"


def otherwise(version: str, name: str, why: str, fix: str) -> str:
    return f"error other-family env[{name}]: expected a variable that EMQX {version} reads{why} | {fix}"


UNKNOWN = [
    ("5.8.9", "EMQX_CLUSTER__K8S__SUFIX", "did you mean EMQX_CLUSTER__K8S__SUFFIX?"),
    ("5.8.9", "EMQX_CLUSTER__K9S__SUFFIX", "did you mean EMQX_CLUSTER__K8S__SUFFIX?"),
    ("5.8.9", "EMQX_CLSTER__K8S__SUFFIX", "did you mean EMQX_CLUSTER__K8S__SUFFIX?"),
    ("5.8.9", "EMQX_CLUSTER_K8S_SUFFIX", "did you mean EMQX_CLUSTER__K8S__SUFFIX?"),
    ("5.8.9", "EMQX_CLUSTER__K8S_SUFFIX", "did you mean EMQX_CLUSTER__K8S__SUFFIX?"),
    ("4.4.19", "EMQX_CLUSTER__DISCOVRY", "did you mean EMQX_CLUSTER__DISCOVERY?"),
    ("5.8.9", "EMQX_LISTENERS__TCP__MINE__BINDS", "did you mean EMQX_LISTENERS__TCP__MINE__BIND?"),
    ("5.8.9", "EMQX_NODENAME", "did you mean EMQX_NODE_NAME?"),
    ("4.4.19", "EMQX_Node_Name", "did you mean EMQX_NODE_NAME?"),
    ("5.8.9", "EMQX_FOO", "remove it, or correct its name"),
    ("5.8.9", "EMQX_GITOPS_DEBUG", "remove it, or correct its name"),
    ("5.8.9", "EMQX_", "remove it, or correct its name"),
    ("5.8.9", "EMQX_FOO__BAR__BAZ", "remove it, or correct its name"),
    ("4.4.19", "EMQX_NODE____NAME", "did you mean EMQX_NODE__NAME?"),
]


@pytest.mark.parametrize(("version", "name", "fix"), UNKNOWN)
def test_unknown(version: str, name: str, fix: str) -> None:
    assert lines(said(version, {name: "hunter2"})) == [unknown(version, name, fix)]


def test_the_keys_of_4x_enterprise_are_not_public() -> None:
    name = "EMQX_BACKEND__MYSQL__POOL1__SERVER"
    assert lines(said("4.4.19", {name: None}, "enterprise")) == [unknown("4.4.19", name, "remove it, or correct its name" + PRIVATE)]
    assert said("4.4.19", {"EMQX_LICENSE__FILE": "/opt/emqx/etc/emqx.lic"}, "enterprise") == []


DISCOVERY_NOTE = "value mcast is gone from 5.4, singleton exists from 5.8"
FOREIGN = [
    ("5.8.9", "EMQX_CLUSTER__DISCOVERY", "4.1 to 4.4", f"use EMQX_CLUSTER__DISCOVERY_STRATEGY instead: {DISCOVERY_NOTE}"),
    ("4.1.5", "EMQX_CLUSTER__DISCOVERY_STRATEGY", "5.0 to 6.3", "use EMQX_CLUSTER__DISCOVERY instead"),
    (
        "5.8.9",
        "EMQX_CLUSTER__K8S__APP_NAME",
        "4.1 to 4.4",
        "remove it: the name part before @ is taken from the node itself; set EMQX_NAME alike on all nodes",
    ),
    ("5.4.1", "EMQX_CLUSTER__MCAST__ADDR", "4.1 to 5.3", "remove it: multicast discovery removed in 5.4"),
    ("5.0.26", "EMQX_LISTENERS__TCP__DEFAULT__ENABLE", "5.1 to 6.3", "use EMQX_LISTENERS__TCP__DEFAULT__ENABLED instead"),
    (
        "6.2.2",
        "EMQX_LISTENER__TCP__EXTERNAL",
        "4.1 to 4.4",
        "use EMQX_LISTENERS__TCP__DEFAULT__BIND instead: the stock names external/internal became default",
    ),
    ("6.2.2", "EMQX_LISTENER__TCP__MINE__MAX_CONNECTIONS", "4.3, 4.4", "use EMQX_LISTENERS__TCP__MINE__MAX_CONNECTIONS instead"),
    ("4.4.19", "EMQX_LISTENERS__TCP__DEFAULT__BIND", "5.0 to 6.3", "use EMQX_LISTENER__TCP__EXTERNAL instead"),
    ("4.1.5", "EMQX_LISTENER__TCP__MINE", "4.3, 4.4", "remove it, or use EMQX 4.3 or newer"),
    (
        "5.8.9",
        "EMQX_AUTH__MYSQL__SERVER",
        "4.1 to 4.4",
        "use EMQX_AUTHENTICATION instead: entry of the authentication list (and of authorization.sources for ACL rules)",
    ),
    ("5.8.9", "EMQX_ADMIN_PASSWORD", "4.1 to 4.4", "use EMQX_DASHBOARD__DEFAULT_PASSWORD instead"),
    ("5.8.9", "EMQX_LOADED_PLUGINS", "4.1 to 4.4", "remove it: nothing took its place"),
    ("5.8.9", "EMQX_CLUSTER__CORE_NODES", "5.0 to 5.7", "remove it: replicants find core nodes by discovery"),
    ("6.2.2", "EMQX_BRIDGES__MQTT__X__SERVER", "5.0 to 5.10", "use EMQX_ACTIONS__MQTT__X__SERVER instead: replaced by connectors, actions and sources"),
    ("5.8.9", "EMQX_SECURITY_PROFILE", "6.2, 6.3", "remove it, or use EMQX 6.2 or newer"),
    ("5.0.26", "EMQX_RPC__LISTEN_ADDRESS", "5.3 to 6.3", "remove it, or use EMQX 5.3.1 or newer"),
    (
        "5.8.9",
        "EMQX_DASHBOARD__LISTENERS__HTTPS__CACERTFILE",
        "5.0 to 5.7",
        "did you mean EMQX_DASHBOARD__LISTENERS__HTTPS__SSL_OPTIONS__CACERTFILE?",
    ),
]


@pytest.mark.parametrize(("version", "name", "spans", "fix"), FOREIGN)
def test_of_another_family(version: str, name: str, spans: str, fix: str) -> None:
    edition = "enterprise" if release(version) >= (5, 9, 0) else "community"
    assert lines(said(version, {name: None}, edition)) == [foreign(version, name, spans, fix)]


@pytest.mark.parametrize(
    ("version", "name", "value", "fix"),
    [
        ("5.8.9", "EMQX_CLUSTER__DISCOVERY", "k8s", "use EMQX_CLUSTER__DISCOVERY_STRATEGY=k8s instead"),
        ("5.8.9", "EMQX_CLUSTER__DISCOVERY", "mcast", f"use EMQX_CLUSTER__DISCOVERY_STRATEGY instead: {DISCOVERY_NOTE}"),
        (
            "5.8.9",
            "EMQX_LISTENER__TCP__EXTERNAL",
            "1883",
            "use EMQX_LISTENERS__TCP__DEFAULT__BIND=1883 instead; the stock names external/internal became default",
        ),
        ("5.8.9", "EMQX_ADMIN_PASSWORD", "hunter2", "use EMQX_DASHBOARD__DEFAULT_PASSWORD instead"),
        (
            "5.8.9",
            "EMQX_MANAGEMENT__DEFAULT_APPLICATION__SECRET",
            "hunter2",
            "use EMQX_API_KEY__BOOTSTRAP_FILE instead: API keys come from a bootstrap file or the dashboard; exists from 5.0.14",
        ),
    ],
)
def test_of_another_family_with_a_value(version: str, name: str, value: str, fix: str) -> None:
    assert lines(said(version, {name: value})) == [foreign(version, name, "4.1 to 4.4", fix)]


def test_of_another_patch() -> None:
    since = otherwise("5.0.22", "EMQX_NODE__ROLE", "; 5.0 reads this one from 5.0.23 on", "use EMQX_NODE__DB_ROLE=core instead")
    assert lines(said("5.0.22", {"EMQX_NODE__ROLE": "core"})) == [since]
    assert said("5.0.23", {"EMQX_NODE__ROLE": "core"}) == []
    since = otherwise("5.0.13", "EMQX_API_KEY__BOOTSTRAP_FILE", "; 5.0 reads this one from 5.0.14 on", "use EMQX 5.0.14 or newer, or remove it")
    assert lines(said("5.0.13", {"EMQX_API_KEY__BOOTSTRAP_FILE": "x"})) == [since]
    assert said("5.0", {"EMQX_API_KEY__BOOTSTRAP_FILE": "x"}) == []
    until = otherwise("5.0.26", "EMQX_LIMITER__BATCH__BUCKET__X__CAPACITY", "; 5.0 read this one until 5.0.4", "remove it")
    assert lines(said("5.0.26", {"EMQX_LIMITER__BATCH__BUCKET__X__CAPACITY": "1"})) == [until]
    assert said("5.0.4", {"EMQX_LIMITER__BATCH__BUCKET__X__CAPACITY": "1"}) == []


def test_of_the_other_edition() -> None:
    only = otherwise(
        "5.8.9", "EMQX_LICENSE__KEY", " in this edition; only EMQX Enterprise 5.8 reads this one", "remove it, or use the image emqx/emqx-enterprise"
    )
    assert lines(said("5.8.9", {"EMQX_LICENSE__KEY": None})) == [only]
    assert said("5.8.9", {"EMQX_LICENSE__KEY": None}, "enterprise") == []
    only = otherwise("4.4.19", "EMQX_LICENSE__FILE", " in this edition; only EMQX Enterprise 4.4 reads this one", "remove it, or use the image emqx/emqx-ee")
    assert lines(said("4.4.19", {"EMQX_LICENSE__FILE": "x"})) == [only]
    only = otherwise("5.8.9", "EMQX_TELEMETRY__ENABLE", " in this edition; only the open-source edition 5.8 reads this one", "remove it")
    assert lines(said("5.8.9", {"EMQX_TELEMETRY__ENABLE": "false"}, "enterprise")) == [only]


def test_below_a_partial_root_it_is_a_warning() -> None:
    message = "expected a key that EMQX 5.8.9 is known to read; of gateway the tables list the top only"
    fix = "did you mean EMQX_GATEWAY__COAP__ENABLE?"
    assert lines(said("5.8.9", {"EMQX_GATEWAY__COAP__ENABEL": "true"})) == [f"warning unknown-variable env[EMQX_GATEWAY__COAP__ENABEL]: {message} | {fix}"]


def test_without_effect() -> None:
    capacity = "EMQX_LIMITER__CLIENT__BYTES__CAPACITY"
    message = "expected a variable with an effect: EMQX 5.8.9 takes limiter.client.bytes.capacity and drops its value (deprecated since 5.0.25)"
    assert lines(said("5.8.9", {capacity: "1"})) == [f"error dropped-variable env[{capacity}]: {message} | remove it"]
    assert said("5.0.24", {capacity: "1"}) == []
    buffer = "EMQX_CLUSTER__MCAST__BUFFER"
    message = "expected a variable with an effect: no file of EMQX 4.1.5 has a line for cluster.mcast.buffer that its entrypoint could fill in"
    assert lines(said("4.1.5", {buffer: "1"})) == [f"error dropped-variable env[{buffer}]: {message} | remove it, or use EMQX 4.3 or newer"]


@pytest.mark.parametrize(
    ("version", "values", "loser", "path", "first", "wins"),
    [
        ("4.4.19", {"EMQX_NODE_NAME": "a@b.c", "EMQX_NODE__NAME": "d@e.f"}, "EMQX_NODE__NAME", "node.name", "EMQX_NODE_NAME", True),
        ("4.4.19", {"EMQX_NODE__NAME": "d@e.f", "EMQX_NODE_NAME": "a@b.c"}, "EMQX_NODE__NAME", "node.name", "EMQX_NODE_NAME", True),
        ("5.0.26", {"EMQX_NODE__COOKIE": None, "EMQX_NODE_COOKIE": None}, "EMQX_NODE__COOKIE", "node.cookie", "EMQX_NODE_COOKIE", True),
        (
            "4.1.5",
            {"EMQX_TCP_PORT": "1884", "EMQX_LISTENER__TCP__EXTERNAL": "1883"},
            "EMQX_LISTENER__TCP__EXTERNAL",
            "listener.tcp.external",
            "EMQX_TCP_PORT",
            True,
        ),
        ("5.8.9", {"EMQX_CLUSTER__NAME": "a", "EMQX_cluster__name": "b"}, "EMQX_cluster__name", "cluster.name", "EMQX_CLUSTER__NAME", False),
        ("5.8.9", {"EMQX_NODE__ROLE": "core", "EMQX_NODE__DB_ROLE": "<pod>"}, "EMQX_NODE__DB_ROLE", "node.role", "EMQX_NODE__ROLE", False),
    ],
)
def test_two_for_one_setting(version: str, values: dict[str, str | None], loser: str, path: str, first: str, *, wins: bool) -> None:
    why = "and wins" if wins else "and EMQX does not say which of them wins"
    fix = f"remove {loser}" if wins else "remove one of the two"
    expected = f"error duplicate-setting env[{loser}]: expected one variable for {path}; {first} sets it too, {why} | {fix}"
    assert lines(said(version, values)) == [expected]


def test_two_that_agree_do_no_harm() -> None:
    assert said("5.8.9", {"EMQX_CLUSTER__NAME": "a", "EMQX_cluster__name": "a"}) == []
    found = env({"EMQX_NODE_COOKIE": None, "EMQX_NODE__COOKIE": None})
    same = {name: item._replace(source={"secretKeyRef": {"name": "emqx-cookie", "key": "cookie"}}) for name, item in found.items()}
    assert variables.check(release("5.8.9"), "community", same) == []


def test_other_names_and_other_releases_are_not_looked_at() -> None:
    assert said("5.8.9", {"POD_NAME": "<pod>", "emqx_foo": "1", "WAIT_FOR_ERLANG": "1", "EMQX": "1"}) == []
    assert said("4.0.13", {"EMQX_FOO": "1"}) == []
    assert said("7.0.0", {"EMQX_FOO": "1"}) == []


@pytest.mark.parametrize("version", ["4.1.5", "4.2.14", "4.4.19", "5.0.26", "5.8.9", "6.2.2"])
def test_no_message_shows_a_secret(version: str) -> None:
    secret = "hunter & 2\\#\n"
    names = [
        *("EMQX_NODE__COOKIE", "EMQX_NODE_COOKIE", "EMQX_ADMIN_PASSWORD", "EMQX_DASHBOARD__DEFAULT_PASSWORD", "EMQX_DASHBOARD__DEFAULT_USER__PASSWORD"),
        *("EMQX_LICENSE__KEY", "EMQX_DASHBOARD__DEFAULT_PASWORD", "EMQX_AUTHENTICATION__1__PASSWORD", "EMQX_API_KEY__SECRET"),
    ]
    for name in names:
        for problem in said(version, {name: secret}, "enterprise"):
            assert "hunter" not in problem.lines()


# -- what the function itself writes


# Before 5.0.18 the certificate of a quic listener has names of its own, which emqx_fn.family does not know.
QUIC = release("5.0.18")


def all_settings(version: str) -> list[Settings]:
    """Every way to cluster, in every edition, with every kind of listener."""
    number = release(version)
    row = family(number)
    kinds = ["tcp", "ssl", "ws", "wss", *(["quic"] if number >= QUIC else [])]
    listeners = tuple(Listener(kind, kind, 1000 + at, "cert" if kind in ("ssl", "wss", "quic") else "") for at, kind in enumerate(kinds))
    if row.named_listeners:
        listeners += (Listener("my-own", "ssl", 2000, "cert"),)
    ways = [("k8s", kind, "") for kind in ("ip", "hostname", "dns")] + [("dns", "", kind) for kind in row.record_types] + [("manual", "", "")]
    editions = sorted({edition_of_image(image, number) for image in ("emqx/emqx", "emqx/emqx-enterprise")})
    found = []
    for (strategy, address, record), edition, ip in itertools.product(ways, editions, ("IPv4", "IPv6")):
        if ip == "IPv6" and not row.rpc_listen:
            continue
        licence = SecretKey("emqx-license", "license") if edition == "enterprise" else None
        for evaluation in sorted({False, row.single_node_license}):
            values = {
                "config": "EmqxCluster/emqx",
                "version": number,
                "family": row,
                "edition": edition,
                "replicas": 3,
                "ip_family": ip,
                "node_name": "emqx",
                "strategy": strategy,
                "address_type": address,
                "record_type": record,
                "domain": "cluster.local",
                "autoclean": "10m",
                "autoheal": True,
                "cookie": SecretKey("emqx-cookie", "cookie"),
                "password": SecretKey("emqx-dashboard", "password"),
                "evaluation": evaluation,
                "license": None if evaluation else licence,
                "dashboard_port": 18083,
                "listeners": listeners,
            }
            found.append(Settings(**dict.fromkeys(Settings._fields, None) | values))
    return found


RELEASES = [*FAMILIES, "4.3.0", "4.4.0", "4.4.7", "5.0.0", "5.0.3", "5.0.9", "5.0.10", "5.1.0", "5.3.0", "5.3.1", "5.6.0", "6.0.0"]


@pytest.mark.parametrize("version", RELEASES)
def test_what_the_function_sets_is_known_and_taken(version: str) -> None:
    seen = set()
    for s in all_settings(version):
        values: dict[str, str | None] = {}
        fields = {"POD_NAME": "<pod>", "POD_IP": "<ip>", "POD_NAMESPACE": "<namespace>", "DISCOVERY_SERVICE": "emqx-headless"}
        for entry in [*plan.environment(s), *plan.unused_listeners(s, set())]:
            value = entry.value
            for name, field in fields.items():
                value = value.replace(f"$({name})", field)
            values[entry.name] = value if entry.source is None else fields.get(entry.name)
        assert "$(" not in str(values)
        found = env(values)
        assert variables.check(s.version, s.edition, found) == [], s
        assert variables.advise(s.version, s.edition, found) == [], s
        seen |= set(values)
    assert len(seen) > 15


# -- properties

STRICT = [
    (name, pattern)
    for name, source in ALL
    for pattern, kind, marks in rows(source)
    if kind != "-" and not {"open", "dropped", "ee", "ce"} & set(marks) and "until" not in " ".join(marks) and pattern.split(".")[0] in source.strict
]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(STRICT), st.data())
def test_one_wrong_letter_is_refused_or_makes_another_key(known: tuple[str, str], data: st.DataObject) -> None:
    name, pattern = known
    source = table(name)
    edition = "community" if source.two_editions else "enterprise"
    right = variable(pattern.replace("$name", "mine").replace("$index", "1"))
    letters = [at for at in range(5, len(right)) if right[at].isalpha()]
    at = data.draw(st.sampled_from(letters))
    letter = data.draw(st.sampled_from([letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter != right[at]]))
    wrong = right[:at] + letter + right[at + 1 :]
    rules = {problem.rule for problem in variables.check(newest(name), edition, env({wrong: None}))}
    key = source.find(source.path(wrong), NEWEST[edition])
    if key is None and wrong not in source.script and wrong not in source.override:
        assert rules & {"unknown-variable", "other-family"} or wrong.split("__")[0][5:].lower() in source.partial
    else:
        assert rules <= {"dropped-variable"}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(FAMILIES), st.sampled_from(["community", "enterprise"]), st.text(max_size=40), st.none() | st.text(max_size=40))
def test_any_name_gets_an_answer(name: str, edition: str, rest: str, value: str | None) -> None:
    found = env({f"EMQX_{rest}": value})
    for problem in variables.check(newest(name), edition, found) + variables.advise(newest(name), edition, found):
        assert problem.message.startswith("expected ")
        assert problem.fix
