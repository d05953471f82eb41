"""Values: every trap that is known of a loader, with the whole message."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emqx_fn.hocon import Value, quoted, read
from emqx_fn.keytable import FAMILIES

from .tables import lines, newest, said

WHOLE = "a whole number from 1 to 65535"


def wrong(name: str, expected: str, got: str, fix: str) -> str:
    return f"error variable-value env[{name}]: expected {expected}; got {got} | {fix}"


SAFE = "write it in double quotes of its own: "
HIDDEN = "a value that is not shown here"
ARRIVES = "expected text that arrives as it is written: EMQX 5.0.26 makes"

BAD = {
    # 4.1 and 4.2: the entrypoint fills files by sed
    ("4.1.5", "EMQX_NODE__COOKIE", "a&b"): "error unsafe-value env[EMQX_NODE__COOKIE]: expected a value that sed leaves as it is, which the entrypoint of "
    "EMQX 4.1.5 writes it with; got one with & | use a value without it, or EMQX 4.3 or newer",
    (
        "4.1.5",
        "EMQX_CLUSTER__NAME",
        "a\\&\nb",
    ): "error unsafe-value env[EMQX_CLUSTER__NAME]: expected a value that sed leaves as it is, which the entrypoint of "
    "EMQX 4.1.5 writes it with; got one with & and a backslash and a line break | use a value without it, or EMQX 4.3 or newer",
    ("4.2.14", "EMQX_CLUSTER__NAME", "a\\b"): "error unsafe-value env[EMQX_CLUSTER__NAME]: expected a value that sed leaves as it is, which the entrypoint of "
    "EMQX 4.2.14 writes it with; got one with a backslash | use a value without it, or EMQX 4.3 or newer",
    ("4.2.14", "EMQX_CLUSTER__NAME", "a\tb"): "error unsafe-value env[EMQX_CLUSTER__NAME]: expected a value that sed leaves as it is, which the entrypoint of "
    "EMQX 4.2.14 writes it with; got one with a control character | use a value without it, or EMQX 4.3 or newer",
    # 4.x: flags are on and off, bools are true and false, and case counts
    ("4.4.19", "EMQX_CLUSTER__AUTOHEAL", "true"): wrong("EMQX_CLUSTER__AUTOHEAL", "one of on, off (default 'on')", "'true'", "write on"),
    ("4.1.5", "EMQX_CLUSTER__AUTOHEAL", "ON"): wrong("EMQX_CLUSTER__AUTOHEAL", "one of on, off (default 'on')", "'ON'", "write on"),
    ("4.4.19", "EMQX_MQTT__RETAIN_AVAILABLE", "off"): wrong("EMQX_MQTT__RETAIN_AVAILABLE", "true or false (default 'true')", "'off'", "write false"),
    ("4.3.22", "EMQX_MQTT__RETAIN_AVAILABLE", "TRUE"): wrong("EMQX_MQTT__RETAIN_AVAILABLE", "true or false (default 'true')", "'TRUE'", "write true"),
    ("4.4.19", "EMQX_NODE__HEARTBEAT", "off"): wrong("EMQX_NODE__HEARTBEAT", "on", "'off'", "write on"),
    ("4.2.14", "EMQX_NODE__HEARTBEAT", "off"): wrong("EMQX_NODE__HEARTBEAT", "on", "'off'", "write on"),
    ("4.4.19", "EMQX_CLUSTER__DISCOVERY", "kubernetes"): wrong(
        "EMQX_CLUSTER__DISCOVERY", "one of manual, static, mcast, dns, etcd, k8s (default 'manual')", "'kubernetes'", "did you mean 'k8s'?"
    ),
    ("4.4.19", "EMQX_CLUSTER__AUTOCLEAN", "5"): wrong(
        "EMQX_CLUSTER__AUTOCLEAN", "a duration such as 15s or 1h30m (default '5m')", "'5'", "write the unit too, such as 5s"
    ),
    ("4.4.19", "EMQX_MQTT__MAX_PACKET_SIZE", "1M"): wrong(
        "EMQX_MQTT__MAX_PACKET_SIZE", "a size such as 512KB or 1MB (default '1MB')", "'1M'", "write a size such as 512KB or 1MB"
    ),
    ("4.4.19", "EMQX_MQTT__MAX_PACKET_SIZE", "1 MB"): wrong(
        "EMQX_MQTT__MAX_PACKET_SIZE", "a size such as 512KB or 1MB (default '1MB')", "'1 MB'", "write a size such as 512KB or 1MB"
    ),
    ("4.4.19", "EMQX_OS_MON__CPU_HIGH_WATERMARK", "80"): "error unsafe-value env[EMQX_OS_MON__CPU_HIGH_WATERMARK]: expected a percentage such as 80%: EMQX "
    "4.4.19 cuts the last character off, whatever it is, and reads 8 %; got '80' | write 80%",
    ("4.4.19", "EMQX_OS_MON__CPU_HIGH_WATERMARK", "0.8"): wrong(
        "EMQX_OS_MON__CPU_HIGH_WATERMARK", "a percentage such as 80% (default '80%')", "'0.8'", "write a percentage such as 80%"
    ),
    ("4.4.19", "EMQX_RPC__TCP_CLIENT_NUM", "256"): wrong(
        "EMQX_RPC__TCP_CLIENT_NUM", "a whole number from 0 to 255 (default '0')", "'256'", "write a whole number from 0 to 255"
    ),
    ("4.4.19", "EMQX_ZONE__EXTERNAL__KEEPALIVE_BACKOFF", "1"): wrong(
        "EMQX_ZONE__EXTERNAL__KEEPALIVE_BACKOFF", "a number with a point, such as 1.0 (default '0.75')", "'1'", "write a number with a point, such as 1.0"
    ),
    ("4.4.19", "EMQX_ACL_FILE", ""): "error variable-value env[EMQX_ACL_FILE]: expected a value: an empty one removes the key, and EMQX 4.4.19 needs it | "
    "write a value, or remove this variable",
    ("4.3.22", "EMQX_LISTENER__SSL__MINE__CIPHERS", ""): "error variable-value env[EMQX_LISTENER__SSL__MINE__CIPHERS]: expected a value: an empty one removes "
    "the key, and EMQX 4.3.22 needs it | write a value, or remove this variable",
    # 5.0 and newer: wrong types stop the start
    ("5.0.26", "EMQX_CLUSTER__DISCOVERY_STRATEGY", "k9s"): wrong(
        "EMQX_CLUSTER__DISCOVERY_STRATEGY", "one of manual, static, mcast, dns, etcd, k8s (default 'manual')", "'k9s'", "did you mean 'k8s'?"
    ),
    ("5.8.9", "EMQX_CLUSTER__DISCOVERY_STRATEGY", "mcast"): wrong(
        "EMQX_CLUSTER__DISCOVERY_STRATEGY",
        "one of manual, static, singleton, dns, etcd, k8s (default 'manual')",
        "'mcast'",
        "write one of manual, static, singleton, dns, etcd, k8s",
    ),
    ("5.8.9", "EMQX_CLUSTER__AUTOHEAL", "on"): wrong("EMQX_CLUSTER__AUTOHEAL", "true or false (default 'true')", "'on'", "write true"),
    ("5.8.9", "EMQX_CLUSTER__AUTOHEAL", ""): wrong("EMQX_CLUSTER__AUTOHEAL", "true or false (default 'true')", "''", "write true or false"),
    ("5.8.9", "EMQX_CLUSTER__AUTOCLEAN", "5 m"): wrong(
        "EMQX_CLUSTER__AUTOCLEAN", "a duration such as 15s or 1h30m (default '24h')", "'5 m'", "write a duration such as 15s or 1h30m"
    ),
    ("5.8.9", "EMQX_MQTT__MAX_INFLIGHT", "65536"): wrong("EMQX_MQTT__MAX_INFLIGHT", f"{WHOLE} (default '32')", "'65536'", f"write {WHOLE}"),
    ("5.8.9", "EMQX_MQTT__MAX_INFLIGHT", "9" * 5000): wrong("EMQX_MQTT__MAX_INFLIGHT", f"{WHOLE} (default '32')", f"'{'9' * 77}...'", f"write {WHOLE}"),
    # Helm writes large numbers so.
    ("5.8.9", "EMQX_MQTT__MAX_INFLIGHT", "1.024e+03"): wrong("EMQX_MQTT__MAX_INFLIGHT", f"{WHOLE} (default '32')", "'1.024e+03'", "write 1024"),
    ("5.8.9", "EMQX_MQTT__MAX_INFLIGHT", "1.024e+06"): wrong("EMQX_MQTT__MAX_INFLIGHT", f"{WHOLE} (default '32')", "'1.024e+06'", f"write {WHOLE}"),
    ("5.8.9", "EMQX_MQTT__MAX_INFLIGHT", "1e999"): wrong("EMQX_MQTT__MAX_INFLIGHT", f"{WHOLE} (default '32')", "'1e999'", f"write {WHOLE}"),
    ("5.8.9", "EMQX_LISTENERS__TCP__DEFAULT__MAX_CONNECTIONS", "1.024e+06"): wrong(
        "EMQX_LISTENERS__TCP__DEFAULT__MAX_CONNECTIONS", "infinity or a whole number, 1 or more (default 'infinity')", "'1.024e+06'", "write 1024000"
    ),
    ("5.8.9", "EMQX_LISTENERS__TCP__DEFAULT", "1883"): wrong(
        "EMQX_LISTENERS__TCP__DEFAULT",
        "marked_for_deletion or an object such as {a: b}",
        HIDDEN,
        "set its members by variables of their own: EMQX_LISTENERS__TCP__DEFAULT__…",
    ),
    ("5.8.9", "EMQX_CLUSTER__K8S", "emqx"): wrong(
        "EMQX_CLUSTER__K8S", "an object such as {a: b}", HIDDEN, "set its members by variables of their own: EMQX_CLUSTER__K8S__…"
    ),
    ("5.8.9", "EMQX_AUTHENTICATION", "password_based"): wrong(
        "EMQX_AUTHENTICATION",
        "a list such as [a, b] or an object such as {a: b} (default '[]')",
        HIDDEN,
        "set its members by variables of their own: EMQX_AUTHENTICATION__…",
    ),
    ("5.8.9", "EMQX_CLUSTER__K8S", "{sufix = x}"): "error variable-value env[EMQX_CLUSTER__K8S]: expected members that EMQX 5.8.9 knows, it does not start "
    "with others; got 'sufix' in cluster.k8s | did you mean 'suffix'?",
    ("5.8.9", "EMQX_CLUSTER__K8S", "{address_type = node}"): wrong(
        "EMQX_CLUSTER__K8S", "one of ip, dns, hostname (default 'ip')", "'node' in cluster.k8s.address_type", "write one of ip, dns, hostname"
    ),
    ("5.8.9", "EMQX_AUTHENTICATION", '[{mechanism = password_based, acl_claim_name = [1], backend = "mysql"}]'): wrong(
        "EMQX_AUTHENTICATION", "text (default 'acl')", "an array in authentication.1.acl_claim_name", "write text"
    ),
    ("5.8.9", "EMQX_CLUSTER__NAME", "{a = b}"): wrong(
        "EMQX_CLUSTER__NAME", "text (default 'emqxcl')", "an object", "write it in double quotes of its own, so that it is text: " + "'\"{a = b}\"'"
    ),
    # 5.0 only: text that HOCON reads otherwise
    ("5.0.26", "EMQX_CLUSTER__NAME", "a b"): f"error unsafe-value env[EMQX_CLUSTER__NAME]: {ARRIVES} 'ab' of it, without a word; got 'a b' | {SAFE}'\"a b\"'",
    ("5.0.26", "EMQX_CLUSTER__NAME", "a#b"): f"error unsafe-value env[EMQX_CLUSTER__NAME]: {ARRIVES} 'a' of it, without a word; got 'a#b' | {SAFE}'\"a#b\"'",
    ("5.0.26", "EMQX_CLUSTER__NAME", "a//b"): f"error unsafe-value env[EMQX_CLUSTER__NAME]: {ARRIVES} 'a' of it, without a word; got 'a//b' | {SAFE}'\"a//b\"'",
    ("5.0.26", "EMQX_DASHBOARD__DEFAULT_PASSWORD", "pa#ss"): f"error unsafe-value env[EMQX_DASHBOARD__DEFAULT_PASSWORD]: {ARRIVES} another text of it, without "
    f"a word; got a value that is not shown here | {SAFE}'\"…\"'",
    ("5.0.26", "EMQX_DASHBOARD__DEFAULT_PASSWORD", "007"): f"error unsafe-value env[EMQX_DASHBOARD__DEFAULT_PASSWORD]: {ARRIVES} another text of it, without "
    f"a word; got a value that is not shown here | {SAFE}'\"…\"'",
    ("5.0.26", "EMQX_DASHBOARD__DEFAULT_USERNAME", "123456"): "error variable-value env[EMQX_DASHBOARD__DEFAULT_USERNAME]: expected text: EMQX 5.0.26 reads "
    f"this as a number, and does not start with one here; got '123456' | {SAFE}'\"123456\"'",
    (
        "5.0.26",
        "EMQX_CLUSTER__NAME",
        "7",
    ): "error variable-value env[EMQX_CLUSTER__NAME]: expected text: EMQX 5.0.26 reads this as a number, and does not start "
    f"with one here; got '7' | {SAFE}'\"7\"'",
    (
        "5.0.26",
        "EMQX_NODE__COOKIE",
        "1.5",
    ): "error variable-value env[EMQX_NODE__COOKIE]: expected text: EMQX 5.0.26 reads this as a number, and does not start "
    f"with one here; got a value that is not shown here | {SAFE}'\"…\"'",
    ("5.0.26", "EMQX_NODE__COOKIE", "true"): "error variable-value env[EMQX_NODE__COOKIE]: expected text: EMQX 5.0.26 reads this as a bool, and almost every "
    f"text setting refuses it; got a value that is not shown here | {SAFE}'\"…\"'",
    ("5.0.26", "EMQX_CLUSTER__K8S__SERVICE_NAME", "7"): "warning variable-value env[EMQX_CLUSTER__K8S__SERVICE_NAME]: expected text: EMQX 5.0.26 reads this as "
    f"a number, and many text settings refuse it; got '7' | {SAFE}'\"7\"'",
    ("5.0.26", "EMQX_CLUSTER__STATIC__SEEDS", "a@b c@d"): f"error unsafe-value env[EMQX_CLUSTER__STATIC__SEEDS]: {ARRIVES} 'a@bc@d' of it, without a word; "
    f"got 'a@b c@d' | {SAFE}'\"a@b c@d\"'",
    # where upstream rewrites the value first, the tables are not sure
    ("5.8.9", "EMQX_MQTT__MAX_PACKET_SIZE", "1M"): "warning variable-value env[EMQX_MQTT__MAX_PACKET_SIZE]: expected a size such as 512KB or 1MB (default "
    "'1MB'); got '1M' | write a size such as 512KB or 1MB",
}


@pytest.mark.parametrize(("case", "message"), BAD.items(), ids=lambda value: "-".join(value)[:60] if isinstance(value, tuple) else "")
def test_bad_values(case: tuple[str, str, str], message: str) -> None:
    version, name, value = case
    assert lines(said(version, {name: value})) == [message]


GOOD = [
    ("4.1.5", "EMQX_CLUSTER__NAME", "a/b c"),
    ("4.1.5", "EMQX_CLUSTER__NAME", ""),
    ("4.2.14", "EMQX_CLUSTER__NAME", "a&b/c"),
    ("4.3.22", "EMQX_CLUSTER__NAME", "a&b\\c#d"),
    ("4.4.19", "EMQX_CLUSTER__AUTOHEAL", ""),
    ("4.4.19", "EMQX_CLUSTER__AUTOCLEAN", "1h30m"),
    ("4.4.19", "EMQX_CLUSTER__AUTOCLEAN", "1.5s"),
    ("4.4.19", "EMQX_MQTT__MAX_PACKET_SIZE", "1.5MB"),
    ("4.4.19", "EMQX_MQTT__MAX_PACKET_SIZE", "1048576"),
    ("4.4.19", "EMQX_MQTT__MAX_PACKET_SIZE", "1mb"),
    ("4.4.19", "EMQX_OS_MON__CPU_HIGH_WATERMARK", "80%"),
    ("4.4.19", "EMQX_LISTENER__TCP__EXTERNAL", "0.0.0.0:1883"),
    ("5.0.26", "EMQX_CLUSTER__AUTOCLEAN", "300000"),
    ("5.8.9", "EMQX_CLUSTER__AUTOCLEAN", "1h30m"),
    ("5.8.9", "EMQX_CLUSTER__AUTOCLEAN", "1.5s"),
    ("5.8.9", "EMQX_CLUSTER__AUTOCLEAN", "null"),
    ("5.8.9", "EMQX_CLUSTER__NAME", ""),
    ("5.8.9", "EMQX_SYSMON__OS__CPU_HIGH_WATERMARK", "0.8"),
    ("5.8.9", "EMQX_SYSMON__OS__CPU_HIGH_WATERMARK", "80%"),
    ("5.8.9", "EMQX_CLUSTER__STATIC__SEEDS", "[emqx@a.b, emqx@c.d]"),
    ("5.8.9", "EMQX_CLUSTER__STATIC__SEEDS", "emqx@a.b,emqx@c.d"),
    ("5.8.9", "EMQX_CLUSTER__K8S", "{suffix: svc.cluster.local, address_type = hostname}"),
    ("5.8.9", "EMQX_AUTHENTICATION", '[{mechanism = password_based, backend = http, headers {"content-type" = "application/json", accept = x}}]'),
    ("5.8.9", "EMQX_AUTHENTICATION", "{mechanism = password_based}"),
    ("6.2.2", "EMQX_AUTHENTICATION", "{mechanism = password_based}"),
    ("5.8.9", "EMQX_LISTENERS__TCP__DEFAULT__BIND", "[::]:1883"),
    ("5.0.26", "EMQX_LISTENERS__TCP__DEFAULT__BIND", "[::]:1883"),
    ("5.0.26", "EMQX_LISTENERS__TCP__DEFAULT__BIND", "1883"),
    ("5.0.26", "EMQX_LISTENERS__TCP__DEFAULT__BIND", "0.0.0.0:1883"),
    ("5.0.26", "EMQX_DASHBOARD__DEFAULT_PASSWORD", '"pa#ss"'),
    ("5.0.26", "EMQX_DASHBOARD__DEFAULT_PASSWORD", "123456"),
    ("5.0.26", "EMQX_DASHBOARD__DEFAULT_PASSWORD", "[a]"),
    ("5.0.26", "EMQX_DASHBOARD__DEFAULT_USERNAME", '"123456"'),
    ("5.0.26", "EMQX_CLUSTER__K8S__APISERVER", "http://10.0.0.1:8080"),
    ("5.0.26", "EMQX_CLUSTER__NAME", "a;b"),
    # Only 5.0 was seen to alter text; nothing is claimed of its successors.
    ("5.1.6", "EMQX_CLUSTER__NAME", "a b"),
    ("5.8.9", "EMQX_CLUSTER__NAME", "a#b"),
    ("5.8.9", "EMQX_DASHBOARD__DEFAULT_USERNAME", "123456"),
    ("6.2.2", "EMQX_DASHBOARD__DEFAULT_PASSWORD", "file:///run/secrets/password"),
    ("5.8.9", "EMQX_CLUSTER__K8S__SUFFIX", "<namespace>.x"),
    ("5.8.9", "EMQX_CLUSTER__AUTOHEAL", "<pod>"),
    ("5.8.9", "EMQX_GATEWAY__COAP__LISTENERS", "nobody knows"),
]


@pytest.mark.parametrize(("version", "name", "value"), GOOD)
def test_good_values(version: str, name: str, value: str) -> None:
    assert lines(said(version, {name: value}, "enterprise" if version >= "5.9" else "community")) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a", Value("string", "a")),
        ('"a b"', Value("string", "a b", spelt=True)),
        ('"""a "b" c"""', Value("string", 'a "b" c', spelt=True)),
        ('a "b c"', Value("string", "ab c")),
        ("15s", Value("string", "15s")),
        ("1h30m", Value("string", "1h30m")),
        ("1.5s", Value("plain", "1.5s")),
        ("007", Value("number", "007")),
        ("true", Value("bool", "true")),
        ("trueish", Value("string", "trueish")),
        ("pa#ss", Value("string", "pa")),
        ("#ss", Value("plain", "#ss")),
        ("", Value("plain", "")),
        ("a,b", Value("plain", "a,b")),
        ("${a}", Value("unknown", "${a}")),
        ("[a, 1, [b]]", Value("array", [Value("string", "a"), Value("number", "1"), Value("array", [Value("string", "b")])])),
        ("{a = 1, b {c: d}}", Value("object", [("a", Value("number", "1")), ("b", Value("object", [("c", Value("string", "d"))]))])),
        ("[a", Value("plain", "[a")),
        ("{a}", Value("plain", "{a}")),
        ("[" * 100, Value("unknown", "[" * 100)),
    ],
)
def test_hocon(text: str, value: Value) -> None:
    assert read(text) == value


@given(st.text())
def test_text_in_quotes_of_its_own_arrives_as_it_is(text: str) -> None:
    if not set(text) & set("\n\r\u2028\u2029"):
        assert read(quoted(text)) == Value("string", text, spelt=True)


NAMES = (
    "EMQX_CLUSTER__NAME",
    "EMQX_CLUSTER__AUTOCLEAN",
    "EMQX_MQTT__MAX_PACKET_SIZE",
    "EMQX_AUTHENTICATION",
    "EMQX_CLUSTER__K8S",
    "EMQX_LISTENERS__TCP__DEFAULT",
    "EMQX_CLUSTER__STATIC__SEEDS",
    "EMQX_NODE__COOKIE",
    "EMQX_OS_MON__CPU_HIGH_WATERMARK",
    "EMQX_CLUSTER__AUTOHEAL",
    "EMQX_RPC__TCP_SERVER_PORT",
)
PIECES = st.lists(
    st.sampled_from(["{", "}", "[", "]", ",", "=", ":", '"', "a", "b.c", " ", "1", "1.5", "true", "null", "#", "//", "\\", "\n", "s", "%", "$", "é"])
).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FAMILIES), st.sampled_from(NAMES), st.text() | PIECES)
def test_any_text_gets_an_answer(family: str, name: str, text: str) -> None:
    for problem in said(str(newest(family)), {name: text}, "enterprise"):
        assert "COOKIE" not in name or len(text) < 6 or text not in problem.message + problem.fix
