"""EmqxCluster and EmqxPolicy: one table of fields, and the reader that turns YAML into a `Spec` by that table.

The JSON Schemas that editors use are generated from `FIELDS` and `POLICY_FIELDS`.
"""

from __future__ import annotations

import re

from emqx_fn.problem import Problem, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


class Field(NamedTuple):
    """One setting: its JSON type, what it means, and what is allowed in it."""

    type: str  # string | integer | boolean | object | map | list
    doc: str
    enum: tuple[str, ...] = ()
    pattern: str = ""
    expected: str = ""  # the pattern in words
    minimum: int = 0
    maximum: int = 0
    default: str = ""  # in words, where it is derived
    fields: dict[str, Field] | None = None  # object
    items: Field | None = None  # map, list
    required: tuple[str, ...] = ()


_DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_DNS_NAME = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_NAME = Field("string", "Name of the object.", pattern=_DNS_NAME, expected="a Kubernetes object name")


def _secret(doc: str) -> Field:
    key = Field("string", "Key in the Secret.", pattern=r"[-._a-zA-Z0-9]{1,253}", expected="a Secret key")
    reference = Field("object", doc, fields={"name": _NAME, "key": key}, required=("name", "key"))
    return Field("object", doc, fields={"secretKeyRef": reference}, required=("secretKeyRef",))


LISTENER_TYPES = ("tcp", "ssl", "ws", "wss", "quic")

_LISTENER = Field(
    "object",
    "A listener of the broker; its port appears in container, Service and NetworkPolicy.",
    fields={
        "type": Field("string", "Protocol.", enum=LISTENER_TYPES, default="the listener's name, if that is a protocol"),
        "port": Field("integer", "Port.", minimum=1, maximum=65535),
        "tls": Field(
            "object",
            "Certificate, for ssl, wss and quic.",
            fields={"secretName": _NAME._replace(doc="Secret of type kubernetes.io/tls.")},
            required=("secretName",),
        ),
    },
    required=("port",),
)

# Rules about one variable: a waiver names the variable too, so that the next misspelling is still found.
ABOUT_VARIABLES = ("dropped-variable", "duplicate-setting", "other-family", "set-twice", "unknown-variable", "unsafe-value", "variable-value")

# Rules that may be waived: the cluster can still form, and the user may know better.
WAIVABLE = tuple(
    sorted(
        (
            *ABOUT_VARIABLES,
            "autoscaled-members",
            "certificate-names",
            "cluster-domain",
            "dashboard-exposed",
            "disruption-budget",
            "excess-permissions",
            "fs-group",
            "grace-period",
            "inline-secret",
            "loopback-bind",
            "metrics-without-api-key",
            "not-ready-addresses",
            "ordered-ready-with-claims",
            "pod-security",
            "pre-stop-leaves",
            "probe-port",
            "proxy-protocol",
            "read-only-root",
            "route-protocol",
            "secret-in-build",
            "target-port",
            "volume-size",
        )
    )
)

_ALLOW = Field(
    "list",
    "Rules that this cluster may break.",
    items=Field(
        "object",
        "A waiver.",
        fields={
            "rule": Field("string", "Id of the rule, as printed in brackets.", enum=WAIVABLE, expected="the id of a rule that may be waived"),
            "variable": Field(
                "string",
                f"The variable that may break it, where the rule is about one ({', '.join(ABOUT_VARIABLES)}); a * at the end stands for the rest of the name.",
                pattern=r"EMQX_[A-Za-z0-9_$]*\*?",
                expected="the name of a variable, such as EMQX_BACKEND__MYSQL__*",
            ),
            "reason": Field("string", "Why, for the reader.", pattern=r"(?s).*\S.*", expected="a reason"),
            "until": Field("string", "Last day it holds, YYYY-MM-DD.", pattern=r"\d{4}-\d{2}-\d{2}", expected="a date, YYYY-MM-DD"),
        },
        required=("rule", "reason"),
    ),
)

FIELDS: dict[str, Field] = {
    "requires": Field(
        "string",
        "Versions of the plugin that may render this cluster.",
        pattern=r"(>=|<=|==|>|<)\d+(\.\d+){0,2}(,\s*(>=|<=|==|>|<)\d+(\.\d+){0,2})*",
        expected="comparisons such as '>=0.1' or '>=0.1,<1'",
    ),
    "workload": Field(
        "object",
        "The workload that runs EMQX.",
        default="the only Deployment or StatefulSet with an EMQX image",
        fields={"kind": Field("string", "Kind.", enum=("Deployment", "StatefulSet")), "name": _NAME},
        required=("kind", "name"),
    ),
    "version": Field(
        "string",
        "EMQX version.",
        default="the image's tag",
        pattern=r"\d{1,3}\.\d{1,3}(\.\d{1,3})?",
        expected="a version such as '5.8.9', quoted",
    ),
    "edition": Field("string", "EMQX edition.", enum=("community", "enterprise"), default="by the image's name"),
    "ipFamily": Field("string", "IP family of listeners and of the Erlang distribution.", enum=("IPv4", "IPv6"), default="the discovery Service's, else IPv4"),
    "node": Field(
        "object",
        "The Erlang node.",
        fields={
            "name": Field(
                "string",
                "Node name before the @; the same on every member. A digit at its end would move the Erlang port.",
                default="emqx",
                # 255 bytes for the whole node name is Erlang's limit; the host part needs the rest.
                pattern=r"[A-Za-z_]([-0-9A-Za-z_]{0,60}[-A-Za-z_])?",
                expected="letters, digits, - and _, beginning with a letter and not ending in a digit",
            ),
            "cookie": _secret("Erlang cookie, shared by all members."),
        },
    ),
    "discovery": Field(
        "object",
        "How the members find each other.",
        fields={
            "strategy": Field("string", "Discovery strategy.", enum=("k8s", "dns", "manual"), default="k8s"),
            "addressType": Field(
                "string",
                "What the k8s strategy makes node names of.",
                enum=("ip", "hostname", "dns"),
                default="hostname for a StatefulSet, ip for a Deployment",
            ),
            "clusterDomain": Field(
                "string",
                "DNS domain of the Kubernetes cluster.",
                default="cluster.local",
                pattern=_DNS_NAME,
                expected="a DNS domain",
            ),
            "recordType": Field(
                "string",
                "DNS record that the dns strategy asks for.",
                enum=("srv", "a", "aaaa"),
                default="srv for a StatefulSet, a (IPv6: aaaa) for a Deployment",
            ),
            "autoclean": Field(
                "string",
                "Time after which a member that is gone is forgotten.",
                pattern=r"(\d+(ms|s|m|h|d))+",
                expected="a duration such as '5m' or '24h'",
            ),
            "autoheal": Field("boolean", "Heal a split cluster by restarting the minority."),
        },
    ),
    "dashboard": Field(
        "object",
        "Dashboard and HTTP API.",
        fields={
            "port": Field("integer", "Port.", minimum=1, maximum=65535, default="18083"),
            "password": _secret("Password of the dashboard's admin; read at the first start only."),
            "apiKey": _secret(
                "API keys, one `key:secret` a line, which each member takes over at its start; base/cluster-formed uses the first. EMQX 5.0.14 and newer."
            )._replace(default="none; with base/cluster-formed the Secret named as the workload and -api-key"),
        },
    ),
    "license": Field(
        "object",
        "Licence key: a Secret, or the evaluation licence (25 sessions, 30 days of uptime, not for commercial use).",
        fields={
            "secretKeyRef": (_secret("Licence key.").fields or {})["secretKeyRef"],
            "type": Field("string", "The built-in licence.", enum=("evaluation",)),
        },
    ),
    "listeners": Field("map", "Listeners by name.", default="tcp: {port: 1883}, ws: {port: 8083}", items=_LISTENER),
    "policy": Field("object", "Exceptions to the rules.", fields={"allow": _ALLOW}),
}

POLICY_FIELDS: dict[str, Field] = {"allow": _ALLOW}

LISTENER_NAME = re.compile(r"[a-z](-?[a-z0-9])*")  # a port name of Kubernetes
LISTENER_NAME_LENGTH = 15


class SecretKey(NamedTuple):
    """A key of a Secret."""

    name: str
    key: str


class Listener(NamedTuple):
    """A listener; `name` is its key under `spec.listeners`, `secret` names its certificate's Secret or is empty."""

    name: str
    type: str
    port: int
    secret: str


class Waiver(NamedTuple):
    """A rule that may be broken, why, until which day (`YYYY-MM-DD`, or empty), and by which variable (empty: by anything)."""

    rule: str
    reason: str
    until: str
    variable: str = ""

    def covers(self, problem: Problem) -> bool:
        """Whether the waiver is for this problem."""
        if problem.rule != self.rule:
            return False
        name = problem.path.rpartition("[")[2].partition("]")[0]
        return not self.variable or name == self.variable or (self.variable.endswith("*") and name.startswith(self.variable[:-1]))


class Spec(NamedTuple):
    """What `spec` says; None or an empty tuple where it says nothing and the value is derived."""

    requires: str | None = None
    workload: tuple[str, str] | None = None
    version: str | None = None
    edition: str | None = None
    ip_family: str | None = None
    node_name: str | None = None
    cookie: SecretKey | None = None
    strategy: str | None = None
    address_type: str | None = None
    cluster_domain: str | None = None
    record_type: str | None = None
    autoclean: str | None = None
    autoheal: bool | None = None
    dashboard_port: int | None = None
    password: SecretKey | None = None
    api_key: SecretKey | None = None
    license: SecretKey | None = None
    evaluation: bool = False
    listeners: tuple[Listener, ...] | None = None
    allow: tuple[Waiver, ...] = ()


class _Reader:
    """Collects the problems of one config object while its fields are read."""

    def __init__(self, object: str, where: str) -> None:
        self.object, self.where = object, where
        self.problems: list[Problem] = []

    def bad(self, path: str, message: str, fix: str, rule: str = "invalid-value") -> None:
        self.problems.append(Problem(rule, self.object, path, message, fix, self.where))

    def fields(self, value: Any, path: str, fields: dict[str, Field], required: tuple[str, ...] = ()) -> dict[str, Any]:
        """The valid fields of a mapping; everything else becomes a problem."""
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            self.bad(path, f"expected a mapping; got {_kind(value)}", f"write the fields of {path} below it")
            return {}
        result = {}
        for key, item in value.items():
            if key not in fields:
                self.unknown(path, key, fields)
            elif item is not None:
                result[key] = self.field(item, f"{path}.{key}", fields[key])
        for key in required:
            if value.get(key) is None:
                self.bad(f"{path}.{key}", f"expected {_article(fields[key])}; it is missing", f"add {key}: {fields[key].doc.rstrip('.')}")
        return result

    def unknown(self, path: str, key: str, fields: dict[str, Field]) -> None:
        guess = nearest(str(key), fields)
        fix = f"did you mean {guess!r}?" if guess else f"remove it; known here: {', '.join(fields)}"
        self.bad(f"{path}.{key}" if str(key).isidentifier() else path, f"expected a known field; got {_show(key)}", fix, "unknown-field")

    def field(self, value: Any, path: str, field: Field) -> Any:
        if field.type == "object":
            return self.fields(value, path, field.fields or {}, field.required)
        if field.type == "map":
            return self.map(value, path, field)
        if field.type == "list":
            return self.list(value, path, field)
        return self.scalar(value, path, field)

    def map(self, value: Any, path: str, field: Field) -> dict[str, Any]:
        if not isinstance(value, dict) or field.items is None:
            self.bad(path, f"expected a mapping by name; got {_kind(value)}", f"write {path} as name: {{…}}")
            return {}
        result = {}
        for key, item in value.items():
            if not LISTENER_NAME.fullmatch(str(key)) or len(key) > LISTENER_NAME_LENGTH:
                message = f"expected a port name (at most 15 of a-z, 0-9 and -); got {_show(key)}"
                self.bad(path, message, "Kubernetes names a port after the listener: choose such a name")
            elif item is not None:
                result[key] = self.field(item, f"{path}.{key}", field.items)
        return result

    def list(self, value: Any, path: str, field: Field) -> list[Any]:
        if not isinstance(value, list) or field.items is None:
            self.bad(path, f"expected a list; got {_kind(value)}", f"write {path} as a list")
            return []
        return [self.field(item, f"{path}[{index}]", field.items) for index, item in enumerate(value)]

    def scalar(self, value: Any, path: str, field: Field) -> Any:
        kind = {"string": str, "integer": int, "boolean": bool}[field.type]
        right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if field.type == "string" and getattr(value, "style", None) == "":
            right = _is_text(value)  # a plain 5.8 is a number to every YAML reader
        if not right:
            quotable = field.type == "string" and isinstance(value, (int, str)) and re.fullmatch(field.pattern or ".*", str(value))
            fix = f'quote it: {path.rsplit(".", 1)[-1]}: "{value}"' if quotable else f"write {field.expected or _article(field)}"
            self.bad(path, f"expected {_article(field)}; got {_show(value)}", fix)
            return None
        if field.enum and value not in field.enum:
            guess = nearest(value, field.enum)
            self.bad(
                path,
                f"expected {field.expected or 'one of ' + ', '.join(field.enum)}; got {_show(value)}",
                f"did you mean {guess!r}?" if guess else f"choose one of {', '.join(field.enum)}",
            )
            return None
        if field.pattern and not re.fullmatch(field.pattern, value):
            day = value.removesuffix("T00:00:00Z")  # kustomize makes a timestamp of a day without quotes
            quotable = day != value and re.fullmatch(field.pattern, day)
            fix = f'quote it: {path.rsplit(".", 1)[-1]}: "{day}"' if quotable else f"write {field.expected}"
            self.bad(path, f"expected {field.expected}; got {_show(value)}", fix)
            return None
        if field.maximum and not field.minimum <= value <= field.maximum:
            self.bad(path, f"expected {field.minimum} to {field.maximum}; got {value}", "choose a number in that range")
            return None
        return str(value) if kind is str else value


def _is_text(value: str) -> bool:
    """Whether a plain scalar that does not begin with a letter is still a string to YAML 1.1 and 1.2 alike."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value) and not _is_date(value):
        return True  # kustomize takes the quotes away from what is no day of the calendar
    return not re.fullmatch(r"[-+.0-9][-+0-9_.:eExXoObBa-fA-F]*|[=<]+|\.(inf|nan|Inf|NaN|INF|NAN)", value) or value.count(".") > 1


def _article(field: Field) -> str:
    words = {"string": "a string", "integer": "an integer", "boolean": "true or false", "object": "a mapping", "map": "a mapping", "list": "a list"}
    return f"one of {', '.join(field.enum)}" if field.enum else words[field.type]


def _kind(value: Any) -> str:
    """What stands where a mapping or a list is expected; text may be the secret that it should refer to."""
    return "a string" if isinstance(value, str) else _show(value)


def _show(value: Any) -> str:
    text = (
        repr(str(value))
        if isinstance(value, str)
        else {None: "null", True: "true", False: "false"}.get(value, str(value))
        if not isinstance(value, (dict, list))
        else ("a mapping" if isinstance(value, dict) else "a list")
    )
    return text if len(text) <= 80 else text[:77] + "...'"


def parse_spec(spec: Any, object: str, where: str = "") -> tuple[Spec, list[Problem]]:
    """`spec` of an EmqxCluster as a `Spec`, and all its problems."""
    reader = _Reader(object, where)
    data = reader.fields(spec, "spec", FIELDS)
    node, discovery = data.get("node") or {}, data.get("discovery") or {}
    dashboard, key = data.get("dashboard") or {}, data.get("license") or {}
    workload = data.get("workload") or {}
    if "license" in data and bool(key.get("type")) == bool(key.get("secretKeyRef")) and not reader.problems:
        reader.bad("spec.license", "expected either secretKeyRef or type", "keep one of them")
    result = Spec(
        requires=data.get("requires"),
        workload=(workload["kind"], workload["name"]) if workload.get("kind") and workload.get("name") else None,
        version=data.get("version"),
        edition=data.get("edition"),
        ip_family=data.get("ipFamily"),
        node_name=node.get("name"),
        cookie=_secret_key(node.get("cookie")),
        strategy=discovery.get("strategy"),
        address_type=discovery.get("addressType"),
        cluster_domain=discovery.get("clusterDomain"),
        record_type=discovery.get("recordType"),
        autoclean=discovery.get("autoclean"),
        autoheal=discovery.get("autoheal"),
        dashboard_port=dashboard.get("port"),
        password=_secret_key(dashboard.get("password")),
        api_key=_secret_key(dashboard.get("apiKey")),
        license=_secret_key(key),
        evaluation=key.get("type") == "evaluation",
        listeners=_listeners(reader, data["listeners"]) if "listeners" in data else None,
        allow=_waivers(reader, "spec.policy.allow", (data.get("policy") or {}).get("allow")),
    )
    return result, reader.problems


def parse_policy(spec: Any, object: str) -> tuple[tuple[Waiver, ...], list[Problem]]:
    """`spec` of an EmqxPolicy: its waivers, and all its problems."""
    reader = _Reader(object, "")
    data = reader.fields(spec, "spec", POLICY_FIELDS)
    return _waivers(reader, "spec.allow", data.get("allow")), reader.problems


def _waivers(reader: _Reader, path: str, items: Any) -> tuple[Waiver, ...]:
    result = tuple(Waiver(*(item.get(key) or "" for key in ("rule", "reason", "until", "variable"))) for item in items or [])
    for index, waiver in enumerate(result):
        if waiver.until and not _is_date(waiver.until):
            reader.bad(f"{path}[{index}].until", f"expected a day of the calendar; got {waiver.until!r}", "write YYYY-MM-DD")
        if waiver.rule in ABOUT_VARIABLES and not waiver.variable:
            message = f"expected the variable that may break {waiver.rule}; it is missing"
            reader.bad(f"{path}[{index}].variable", message, "add variable: EMQX_…: without it the next misspelling would pass too")
        elif waiver.variable and waiver.rule not in ABOUT_VARIABLES and waiver.rule:
            message = f"expected no variable: {waiver.rule} is not about one; got {waiver.variable!r}"
            reader.bad(f"{path}[{index}].variable", message, "remove it")
    return result


def _is_date(text: str) -> bool:
    year, month, day = (int(part) for part in text.split("-"))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    return year > 0 and 1 <= month <= 12 and 1 <= day <= lengths[month - 1]


def _secret_key(value: Any) -> SecretKey | None:
    reference = (value or {}).get("secretKeyRef") or {}
    return SecretKey(reference["name"], reference["key"]) if reference.get("name") and reference.get("key") else None


def _listeners(reader: _Reader, listeners: dict[str, Any]) -> tuple[Listener, ...]:
    result = []
    for name, item in listeners.items():
        path = f"spec.listeners.{name}"
        kind = item.get("type") or (name if name in LISTENER_TYPES else "")
        secret = (item.get("tls") or {}).get("secretName") or ""
        if not kind:
            reader.bad(
                f"{path}.type",
                f"expected one of {', '.join(LISTENER_TYPES)}; it is missing",
                f"add type; only a listener named {', '.join(LISTENER_TYPES)} may leave it out",
            )
        elif kind in ("ssl", "wss", "quic") and not item.get("tls"):
            reader.bad(
                f"{path}.tls",
                f"expected tls.secretName: a listener of type {kind} needs a certificate",
                "make a Secret of type kubernetes.io/tls and name it here",
                "listener-without-certificate",
            )
        elif kind in ("tcp", "ws") and item.get("tls"):
            reader.bad(
                f"{path}.tls",
                f"expected no certificate: a listener of type {kind} is not encrypted",
                f"use type {'ssl' if kind == 'tcp' else 'wss'}, or remove tls",
            )
        if kind and item.get("port"):
            result.append(Listener(name, kind, item["port"], secret))
    ports: dict[tuple[int, bool], str] = {}
    for listener in result:
        other = ports.setdefault((listener.port, listener.type == "quic"), listener.name)
        if other != listener.name:
            reader.bad(
                f"spec.listeners.{listener.name}.port", f"expected a port of its own; {listener.port} is {other}'s too", "choose another port", "port-collision"
            )
    # In an order of their own: a patch that adds one must not move the others' variables and roll the pods.
    return tuple(sorted(result, key=lambda listener: (LISTENER_TYPES.index(listener.type), listener.name)))


DEFAULT_LISTENERS = (Listener("tcp", "tcp", 1883, ""), Listener("ws", "ws", 8083, ""))
