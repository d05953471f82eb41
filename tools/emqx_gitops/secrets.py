"""Rendering -> the Secrets that its pods refer to and that nobody has made: random values for what can be invented.

They are made once, with `kubectl create -f -`: a second cookie would split a running cluster, so a second run must fail there.
"""

from __future__ import annotations

import re
import secrets as random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from emqx_fn import wire
from emqx_fn.graph import items, mapping
from emqx_gitops.resources import CLUSTER_LABEL, Resource

COOKIE_LENGTH = 48
PASSWORD_LENGTH = 24  # EMQX 5 takes 8 to 64
_COPIED_LABELS = ("app.kubernetes.io/name", CLUSTER_LABEL)
_COOKIE = re.compile(r"EMQX_NODE__?COOKIE")
_PASSWORD = re.compile(r"EMQX_(?:ADMIN|DASHBOARD|MANAGEMENT)_\w*(?:PASSWORD|SECRET)|API_PASSWORD")
_API_KEY, _API_KEYS = "API_KEY", "api-key"  # in the Job of base/cluster-formed; the volume of the members
_INVENTED = ("cookie", "password", "api-key")
_TLS_KEYS = frozenset({"tls.crt", "tls.key"})


class Use(NamedTuple):
    """One place of a workload that reads a Secret: which key (empty: all or unknown ones), and what for."""

    namespace: str
    name: str
    key: str
    purpose: str  # cookie, password, api-key, license, tls, or the place's own name


@dataclass(frozen=True)
class Missing:
    """A Secret that is referred to and not rendered."""

    namespace: str
    name: str
    uses: tuple[Use, ...]
    labels: dict[str, str]

    @property
    def invented(self) -> tuple[Use, ...]:
        """The uses that a random value serves."""
        return tuple(use for use in self.uses if use.purpose in _INVENTED)

    @property
    def given(self) -> tuple[Use, ...]:
        """The uses whose value only a person can give."""
        return tuple(use for use in self.uses if use.purpose not in _INVENTED)


def missing(resources: tuple[Resource, ...]) -> list[Missing]:
    """The Secrets to make, in the order in which the workloads name them, and after these the Jobs."""
    rendered = {(resource.key.namespace, resource.key.name) for resource in resources if resource.key.kind == "Secret"}
    found: dict[tuple[str, str], tuple[dict[Use, None], dict[str, str]]] = {}
    jobs = [resource for resource in resources if resource.key[:2] == ("batch", "Job")]
    for workload in (*(resource for resource in resources if resource.is_workload), *jobs):
        for use in _uses(workload):
            if (use.namespace, use.name) not in rendered:
                found.setdefault((use.namespace, use.name), ({}, _labels(workload)))[0][use] = None
    return [Missing(namespace, name, tuple(uses), labels) for (namespace, name), (uses, labels) in found.items()]


def _labels(workload: Resource) -> dict[str, str]:
    labels = mapping(workload.metadata, "labels")
    return {key: str(labels[key]) for key in _COPIED_LABELS if key in labels}


def _uses(workload: Resource) -> Iterator[Use]:
    for container in workload.containers:
        for entry in items(container, "env"):
            reference = mapping(entry, "valueFrom", "secretKeyRef")
            yield from _use(workload, reference, str(reference.get("key") or ""), _purpose(str(entry.get("name"))))
        for source in items(container, "envFrom"):
            yield from _use(workload, mapping(source, "secretRef"), "", "envFrom")
    for volume in items(workload.pod_spec, "volumes"):
        for source in [mapping(volume, "secret"), *(mapping(part, "secret") for part in items(mapping(volume, "projected"), "sources"))]:
            yield from _volume(workload, str(volume.get("name")), source)


def _purpose(variable: str) -> str:
    if _COOKIE.fullmatch(variable):
        return "cookie"
    if _PASSWORD.fullmatch(variable):
        return "password"
    if variable == _API_KEY:
        return "api-key"
    return "license" if variable.startswith("EMQX_LICENSE__") else variable


def _volume(workload: Resource, volume: str, source: dict[str, Any]) -> Iterator[Use]:
    keys = {str(item.get("key")) for item in items(source, "items")}
    other = "tls" if not keys or keys & _TLS_KEYS else f"volume {volume}"
    purpose = "license" if "license" in volume else "api-key" if volume == _API_KEYS else other
    for key in sorted(keys) or [""]:
        yield from _use(workload, source, key, purpose)


def _use(workload: Resource, reference: dict[str, Any], key: str, purpose: str) -> Iterator[Use]:
    name = reference.get("name") or reference.get("secretName")
    if name and reference.get("optional") is not True:
        yield Use(workload.key.namespace, str(name), key, purpose)


def manifest(secret: Missing) -> str:
    """The Secret with a random value for each of its keys, of which none is to be given. Called once per Secret: each call makes other values."""
    metadata: dict[str, Any] = {"name": secret.name}
    if secret.namespace:
        metadata["namespace"] = secret.namespace
    if secret.labels:
        metadata["labels"] = dict(secret.labels)
    values = {key: _value(purpose) for key, purpose in _invented(secret)}
    return wire.dump({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "immutable": True, "stringData": values})


def _invented(secret: Missing) -> list[tuple[str, str]]:
    """Each key with its purpose. One that has two is a cookie: its alphabet fits a password too."""
    return list({use.key: use.purpose for use in sorted(secret.invented, key=lambda use: use.purpose, reverse=True)}.items())


def _value(purpose: str) -> str:
    if purpose == "api-key":
        return f"cluster-formed:{random_text(COOKIE_LENGTH)}"
    return random_text(COOKIE_LENGTH if purpose == "cookie" else PASSWORD_LENGTH)


def random_text(length: int) -> str:
    """Letters and digits, a letter first and a digit somewhere.

    EMQX 5 reads variables as HOCON, where a text of digits is a number; 4.1 puts them through sed, where `&` and `/` break;
    EMQX refuses passwords of one kind of character.
    """
    while True:
        text = random.choice(string.ascii_letters) + "".join(random.choice(string.ascii_letters + string.digits) for _ in range(length - 1))
        if any(character.isdigit() for character in text):
            return text


# In a shell, the like of `random_text`: letters and digits, a letter first.
_IN_A_SHELL = {
    "cookie": f"c$(openssl rand -hex {COOKIE_LENGTH // 2})",
    "password": f"p$(openssl rand -hex {PASSWORD_LENGTH // 2})",
    "api-key": f"cluster-formed:k$(openssl rand -hex {COOKIE_LENGTH // 2})",
}


def advice(secret: Missing) -> str:
    """How to make what cannot be invented; empty when there is nothing of that kind."""
    if not secret.given:
        return ""
    purposes = {use.purpose for use in secret.given}
    what = {"tls": "holds a certificate", "license": "holds a licence"}.get(" ".join(purposes), f"is read by {', '.join(sorted(purposes))}")
    how = "make it, with all its keys at once, from your own files" if secret.invented else "make it from your own file"
    return f"Secret/{secret.name} {what}, which nobody can invent; {how}:\n  {command(secret)}\n"


def command(secret: Missing) -> str:
    """The command that makes one of which a part cannot be invented, with all its keys: what is made without one would be in the way of the rest."""
    purposes = {use.purpose for use in secret.given}
    namespace = f" --namespace {secret.namespace}" if secret.namespace else ""
    if purposes == {"tls"} and not secret.invented:
        return f"kubectl create secret tls {secret.name}{namespace} --cert=tls.crt --key=tls.key"
    keys = {use.key: "license.key" if use.purpose == "license" else use.key for use in secret.given if use.key}
    if "tls" in purposes and secret.invented:
        keys |= {key: key for key in _TLS_KEYS}
    files = [f"--from-file={key}={file}" for key, file in sorted(keys.items())] or ["--from-file=FILE" if secret.invented else "--from-env-file=FILE"]
    texts = [f'--from-literal={key}="{_IN_A_SHELL[purpose]}"' for key, purpose in _invented(secret)]
    return " ".join([f"kubectl create secret generic {secret.name}{namespace}", *files, *texts])
