"""Rules about secrets that the rendering shows: whoever reads it, and Git, keep them for ever. No message shows a value."""

from __future__ import annotations

import re
from collections.abc import Iterator

from emqx_fn import environment
from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.environment import Variable
from emqx_fn.graph import Object
from emqx_fn.problem import Problem, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# What others put in place of a value: SOPS, vals, Vault's plugins for Argo CD, Flux' postBuild.
_PLACEHOLDER = r"\s*|ENC\[.*|ref\+.*|vault:.*|<[^<>]*>|\$\{[^{}]*\}"
_PRIVATE_KEY = "PRIVATE KEY-----"
_LICENSE = r"\blicense\s*(?:\{[^}]*?|\.)\bkey\s*[=:]\s*\"?([^\s\"}]+)"
_NO_LICENSE = r"default|evaluation|file://.*|\$.*"


def check(case: Case) -> list[Problem]:
    """Secrets of one cluster that its rendering shows."""
    return [*secret_in_build(case), *in_files(case)]


def secret_in_build(case: Case) -> list[Problem]:
    """Secrets of the build that the pods read, with values that are not encrypted."""
    found = []
    for name in dict.fromkeys(_secrets(g.pod_spec(case.workload))):
        secret = _find(case, "Secret", name)
        place = _first_value(secret) if secret else ""
        if secret and place:
            message = "expected a Secret that is sealed, encrypted or made in the cluster; got values that the rendering shows, and Git keeps them for ever"
            fix = "use a SealedSecret, an ExternalSecret or SOPS, or make it there (emqx-gitops secrets … | kubectl create -f -), and change the values"
            found.append(Problem("secret-in-build", str(secret), place, message, fix))
    return found


def _find(case: Case, kind: str, name: str) -> Object | None:
    """The object of that name; none where two would fit, which is not for these rules to judge."""
    try:
        return case.graph.resolve(kind, name, case.workload)
    except Refusal:
        return None


def _secrets(pod: dict[str, Any]) -> Iterator[str]:
    """Names of the Secrets that any container or volume of the pods reads."""
    for container in (*g.items(pod, "initContainers"), *g.items(pod, "containers")):
        yield from (g.text(source, "secretRef", "name") for source in g.items(container, "envFrom"))
        yield from (g.text(entry, "valueFrom", "secretKeyRef", "name") for entry in g.items(container, "env"))
    yield from _mounted(pod, "secret", "secretName")


def _mounted(pod: dict[str, Any], kind: str, field: str) -> Iterator[str]:
    for volume in g.items(pod, "volumes"):
        yield g.text(volume, kind, field)
        yield from (g.text(source, kind, "name") for source in g.items(volume, "projected", "sources"))


def _first_value(secret: Object) -> str:
    """Path of the first value that anybody can read, or an empty string."""
    if g.mapping(secret.data, "sops") or secret.annotation("config.kubernetes.io/local-config") == "true":
        return ""
    for field in ("data", "stringData"):
        for key, value in g.mapping(secret.data, field).items():
            if not re.fullmatch(_PLACEHOLDER, _decoded(value) if field == "data" else str(value or ""), re.DOTALL):
                return f"{field}[{key}]"
    return ""


def _decoded(value: Any) -> str:
    import binascii

    try:
        return binascii.a2b_base64(str(value or "")).decode("utf-8", "replace")
    except ValueError:
        return str(value)


def in_files(case: Case) -> list[Problem]:
    """Private keys and licence keys in variables and ConfigMaps, and secrets that another container of the pods is given."""
    beside = [*_beside(case)]
    found = [problem for variable in beside for problem in environment.inline_secrets({variable.name: variable})]
    for text in (*case.env.values(), *beside, *_files(case)):
        what = _secret_in(text.value or "")
        if what and not environment.inline_secrets({text.name: text}):
            message = f"expected a reference to a Secret; got {what} in clear, and Git keeps it for ever"
            fix = "put it into a Secret, mount that or refer to it by valueFrom.secretKeyRef, and change the key that was published"
            found.append(Problem("inline-secret", text.object, text.path, message, fix))
    return found


def _beside(case: Case) -> Iterator[Variable]:
    """Variables of the other containers of the pods, those that the YAML shows."""
    for kind in ("initContainers", "containers"):
        for container in g.items(g.pod_spec(case.workload), kind):
            if container is case.container:
                continue
            place = f"spec.template.spec.{kind}[{g.text(container, 'name')}]"
            for entry in g.items(container, "env"):
                name = g.text(entry, "name")
                yield Variable(name, str(entry.get("value") or ""), {}, str(case.workload), f"{place}.env[{name}]")


def _files(case: Case) -> Iterator[Variable]:
    """Files that the pods mount from ConfigMaps, and those of the build that hold a private key, whoever mounts them."""
    mounted = [_find(case, "ConfigMap", name) for name in dict.fromkeys(_mounted(g.pod_spec(case.workload), "configMap", "name"))]
    with_key = [config for config in case.graph.objects("ConfigMap", (_PRIVATE_KEY,)) if g.together(config, case.workload)]
    for config in dict.fromkeys((*mounted, *with_key)):
        for key, value in g.mapping(config.data, "data").items() if config else ():
            yield Variable(str(key), str(value), {}, str(config), f"data[{key}]")


def _secret_in(text: str) -> str:
    """What secret a text holds, in words."""
    if _PRIVATE_KEY in text:
        return "a private key"
    if "license" in text:
        lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(("#", "//")))
        key = re.search(_LICENSE, lines)
        if key and not re.fullmatch(_NO_LICENSE, key[1]):
            return "a licence key"
    return ""
