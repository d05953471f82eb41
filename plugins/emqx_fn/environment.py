"""The container's environment as people wrote it: literals, references and ConfigMaps, and what `$(VAR)` makes of them."""

from __future__ import annotations

import re

from emqx_fn import hocon
from emqx_fn.graph import Graph, Object, items, mapping, text
from emqx_fn.problem import Problem
from emqx_fn.record import MISSING, Record, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    from emqx_fn.record import Path
else:
    from emqx_fn.light import NamedTuple


DISCOVERY_ANNOTATION = "emqx-gitops.dev/discovery-service"
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][-A-Za-z0-9_.]*)\)")
_SECRET_NAME = re.compile(
    r"EMQX_(?:.*_)?(?:PASSWORD|PASSWD|PASSPHRASE|PASSCODE|COOKIE|SECRET|TOKEN|LICENSE__KEY|_API_KEY|PRIVATE_KEY|SECRET_ACCESS_KEY)"
    r"|EMQX_.*__HEADERS__(?:.*[_-])?(?:AUTHORIZATION|API[_-]KEY|TOKEN|COOKIE)"
    # What is not EMQX's: X_SECRET and X_COOKIE are as often the name of one.
    r"|(?:(?!EMQX_).*_)?(?:PASSWORD|PASSWD|PASSPHRASE|TOKEN|API_KEY|CLIENT_SECRET|SECRET_KEY|SECRET_ACCESS_KEY|PRIVATE_KEY|(?:ERLANG|RELEASE)_COOKIE)"
    r"|PGPASSWORD|MYSQL_PWD|REDISCLI_AUTH",
    re.IGNORECASE,
)
# References, what others put in place of a value, and words that are none.
_NO_SECRET = (
    r'(?s)"?(?:|true|false|yes|no|on|off|none|null|default|evaluation|\*+|file://.*'
    r'|.*\$\([\w.-]+\).*|.*\$\{[^}]+\}.*|.*\{\{.+\}\}.*|<[^<>]*>|ENC\[.*|ref\+.*|vault:.*)"?'
)
# Of what is not EMQX's, and of keys: a file, or how many there may be.
_PATH = r"(?:~|\.{1,2})?/.*|[\w./-]+\.(?:pem|key|txt)"
_COUNT = r"\d{1,9}"
_TELLTALES = ("://", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "earer ", "Basic ", "AccountKey=", "AccessKey=")
_TELLTALE = (
    r"://[^\s/?#@:]*:[^\s/?#@$<]+@|\b(?:gh[pos]|github_pat)_\w{20,}|\bglpat-[\w-]{20,}|\bxox[bp]-[\w-]{10,}"
    r"|\b[Bb]earer [\w.~+/-]{16,}|\bBasic (?=[A-Za-z+/]*[0-9=])[A-Za-z0-9+/]{8,}|(?:Account|Access)Key=[\w+/]{16,}"
)


class Variable(NamedTuple):
    """One variable: its value, or where the value comes from, and where that is written."""

    name: str
    value: str | None
    source: dict[str, Any]
    object: str
    path: str


def container_path(container: dict[str, Any], *rest: Any) -> Path:
    """Path of a field of the EMQX container in its workload."""
    return ("spec", "template", "spec", "containers", ("name", container["name"]), *rest)


def env_path(container: dict[str, Any], name: str) -> Path:
    """Path of an entry of the container's `env`."""
    return container_path(container, "env", ("name", name))


def by_hand(graph: Graph, workload: Object, container: dict[str, Any], record: Record) -> tuple[dict[str, Variable], list[Problem]]:
    """Variables that the function did not write, by name; `env` beats `envFrom`, as in the kubelet."""
    found: dict[str, Variable] = {}
    problems: list[Problem] = []
    for source in items(container, "envFrom"):
        config = graph.resolve("ConfigMap", text(source, "configMapRef", "name"), workload)
        prefix = text(source, "prefix")
        for key, value in (mapping(config.data, "data") if config else {}).items():
            found[prefix + key] = Variable(prefix + key, str(value), {}, str(config), f"data[{key}]")
    seen: set[str] = set()
    for entry in items(container, "env"):
        name = text(entry, "name")
        path = env_path(container, name)
        if name in seen:
            message = "expected each variable once; it stands twice, and the container sees the last"
            problems.append(Problem("duplicate-variable", str(workload), shown(path), message, "keep one of the two entries"))
        seen.add(name)
        if name and record.last(workload, path) != entry:
            value = entry.get("value", "" if "valueFrom" not in entry else None)
            plain = Variable(name, None if value is None else str(value), mapping(entry, "valueFrom"), str(workload), shown(path))
            found[name] = _of_config_map(graph, workload, plain) or plain
            problems += _missing_key(graph, workload, plain)
    return found, problems


def final(graph: Graph, workload: Object, container: dict[str, Any], service: str) -> dict[str, Variable]:
    """Every variable that the container will see, whoever wrote it; `service` is the name behind the discovery annotation.

    `value` is as the kubelet makes it, with `<pod>`, `<ip>` and `<namespace>` for what only the pod knows. It is None where
    a Secret or another object holds it.
    """
    found: dict[str, Variable] = {}
    evaluator = Evaluator(workload, service)
    for source in items(container, "envFrom"):
        for kind, reference, fields in (("ConfigMap", "configMapRef", ("data",)), ("Secret", "secretRef", ("data", "stringData"))):
            target = graph.resolve(kind, text(source, reference, "name"), workload)
            for field in fields if target else ():
                for key, value in mapping(target.data if target else {}, field).items():
                    name = text(source, "prefix") + str(key)
                    shown_value = None if kind == "Secret" else str(value)
                    evaluator.know(name, "<secret>" if shown_value is None else shown_value)
                    found[name] = Variable(name, shown_value, {}, str(target), f"{field}[{key}]")
    for entry in items(container, "env"):
        name, source = text(entry, "name"), mapping(entry, "valueFrom")
        value = evaluator.add(name, entry)
        known = not source or "fieldRef" in source
        variable = Variable(name, value if known else None, source, str(workload), shown(env_path(container, name)))
        read = _of_config_map(graph, workload, variable)
        if read:
            evaluator.know(name, read.value or "")
        found[name] = read or variable
    return found


def hidden(graph: Graph, workload: Object, container: dict[str, Any]) -> str:
    """Where variables of EMQX may come from that the build does not show, in words; empty where it shows all."""
    if container.get("command"):
        return "the container's own command"
    for source in items(container, "envFrom"):
        prefix = text(source, "prefix")
        if not (prefix.startswith("EMQX_") or "EMQX_".startswith(prefix)):
            continue
        for kind, reference in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            name = text(source, reference, "name")
            if name and graph.resolve(kind, name, workload) is None:
                return f"{kind}/{name}, which is not in the build"
    return ""


def _config_map(graph: Graph, workload: Object, variable: Variable) -> Object | None:
    """The ConfigMap of the build that an entry takes one key of."""
    return graph.resolve("ConfigMap", text(variable.source, "configMapKeyRef", "name"), workload)


def _of_config_map(graph: Graph, workload: Object, variable: Variable) -> Variable | None:
    """The variable as the ConfigMap's key says it, and that key's place; None where the build does not show it."""
    config, key = _config_map(graph, workload, variable), text(variable.source, "configMapKeyRef", "key")
    value = mapping(config.data, "data").get(key) if config else None
    return None if value is None else Variable(variable.name, str(value), {}, str(config), f"data[{key}]")


def _missing_key(graph: Graph, workload: Object, variable: Variable) -> list[Problem]:
    """A key that its ConfigMap has not: the kubelet starts no container then. A layer above may still add it."""
    config, reference = _config_map(graph, workload, variable) if graph.final else None, mapping(variable.source, "configMapKeyRef")
    key = text(reference, "key")
    if config is None or not key or reference.get("optional") is True or key in mapping(config.data, "data") or key in mapping(config.data, "binaryData"):
        return []
    keys = sorted(str(item) for item in mapping(config.data, "data"))
    message = f"expected a key of {config}: without it the container does not start; got {key!r}"
    fix = f"use one of {', '.join(keys[:9])}, or add the key" if keys else "add the key"
    return [Problem("unresolved-reference", variable.object, variable.path, message, fix)]


def unquoted(value: str) -> str:
    """A value as HOCON reads it, from EMQX 5.0 on: without one pair of outer double quotes."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


_ROLES = ("EMQX_NODE__ROLE", "EMQX_NODE__DB_ROLE")


def role(variables: dict[str, Variable]) -> Variable | None:
    """What tells a member's role; a later release knows it by the first name, and an earlier one by the second."""
    return next((variables[name] for name in _ROLES if name in variables), None)


def is_replicant(variables: dict[str, Variable]) -> bool:
    """Whether members with these variables hold no data of their own, and ask for the core members of another workload."""
    found = role(variables)
    return found is not None and (found.value or "").strip('"') == "replicant"


def inline_secrets(variables: dict[str, Variable]) -> list[Problem]:
    """Secrets written as plain text. The message never shows the value."""
    return [
        Problem(
            "inline-secret",
            variable.object,
            variable.path,
            "expected a reference to a Secret; got the value in clear, and Git keeps it for ever",
            "put it into a Secret, refer to it by valueFrom.secretKeyRef, and change the value that was published",
        )
        for variable in variables.values()
        if variable.value and is_clear(variable.name, variable.value)
    ]


def is_clear(name: str, value: str) -> bool:
    """Whether a value holds a secret for everybody to read: by its name, by its looks, or in a member of an object."""
    if _SECRET_NAME.fullmatch(name):
        return not re.fullmatch(_NO_SECRET, value) and not _is_elsewhere(name.upper(), value)
    if any(part in value for part in _TELLTALES) and re.search(_TELLTALE, value):
        return True
    return name.startswith("EMQX_") and value.lstrip()[:1] in ("{", "[") and _has_clear_member(name, hocon.read(value))


def discreet(text: str) -> str:
    """Words for a person, without what the looks give away as a secret."""
    hidden = re.sub(r"://[^\s'\"]*@", "://…@", text) if "://" in text else text
    return re.sub(_TELLTALE, "…", hidden) if any(part in hidden for part in _TELLTALES) else hidden


def _is_elsewhere(name: str, value: str) -> bool:
    """Whether the value only says where a secret is, or is too little to be one."""
    is_foreign = not name.startswith("EMQX_")
    is_file = (is_foreign or name.endswith("PRIVATE_KEY")) and re.fullmatch(_PATH, value) is not None
    return is_file or (is_foreign and re.fullmatch(_COUNT, value) is not None)


def _has_clear_member(name: str, value: hocon.Value) -> bool:
    if value.kind == "array":
        return any(_has_clear_member(f"{name}__1", item) for item in value.data)
    if value.kind == "object":
        return any(_has_clear_member(f"{name}__{key.replace('.', '__')}", item) for key, item in value.data)
    return value.kind in ("string", "number") and is_clear(name, value.data)


class Evaluator:
    """What a variable will hold in a pod, with `<pod>`, `<ip>` and `<namespace>` for what only the pod knows."""

    def __init__(self, workload: Object, service: str) -> None:
        self._fields = {
            "metadata.name": "<pod>",
            "metadata.namespace": workload.namespace or "<namespace>",
            "status.podIP": "<ip>",
            f"metadata.annotations['{DISCOVERY_ANNOTATION}']": service,
        }
        self._known: dict[str, str] = {}

    def know(self, name: str, value: str) -> None:
        """A value that stands as it is, known to the entries after it."""
        self._known[name] = value

    def add(self, name: str, entry: dict[str, Any]) -> str:
        """The value of an entry of `env`, known to the entries after it."""
        source = mapping(entry, "valueFrom")
        if "value" in entry or not source:
            value = self.expand(str(entry.get("value", "")))
        elif "fieldRef" in source:
            path = text(source, "fieldRef", "fieldPath")
            value = self._fields.get(path, f"<{path}>")
        else:
            value = f"<{'/'.join(sorted(source))} {sorted(next(iter(source.values())).items()) if isinstance(next(iter(source.values())), dict) else ''}>"
        self._known[name] = value
        return value

    def expand(self, value: str) -> str:
        """`$(VAR)` replaced as the kubelet does it: an unknown one stays as it is."""
        return _REFERENCE.sub(lambda match: "$" if match[0] == "$$" else self._known.get(match[1], match[0]), value)


def unresolved(value: str, known: set[str]) -> list[str]:
    """Names that `value` refers to and that are not defined before it."""
    return [match[1] for match in _REFERENCE.finditer(value) if match[1] and match[1] not in known]


def entry_of(variable: Variable) -> dict[str, Any]:
    """The variable as an entry of `env`."""
    return {"name": variable.name, "valueFrom": variable.source} if variable.source else {"name": variable.name, "value": variable.value or ""}


def absent(value: Any) -> bool:
    """Whether there is no such field."""
    return value is MISSING
