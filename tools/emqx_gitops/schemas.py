"""JSON Schemas of Kubernetes, offline: each kind of each version as one file that refers to nothing outside itself.

The Python package kubernetes-validate carries the schemas, but its files refer to `/api/_definitions.json` under an
absolute URL, which kubeconform would fetch. So the definitions that a kind needs are copied into its file, once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from emqx_gitops import installation
from emqx_gitops.errors import ToolFailure, UsageFailure

SUPPORTED = tuple(f"1.{minor}" for minor in range(29, 38))
_DEFINITION = re.compile(r"(?:/api/_definitions\.json)?#/\$defs/(.+)")
# Goes into the cache's key: change it when what is written changes.
_FORMAT = b"1"


def cache_folder() -> Path:
    """In a clone its own .tools, else the user's cache."""
    root = installation.clone_root()
    if root:
        return root / ".tools" / "schemas"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emqx-gitops" / "schemas"


def source_folder() -> Path:
    """The schemas of the package kubernetes-validate, which is found without importing it."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.origin:
        fix = "run `make setup` in the clone, or `pip install kubernetes-validate` beside emqx-gitops"
        raise ToolFailure("schemas: expected the Python package kubernetes-validate; it is not installed", fix)
    return Path(spec.origin).parent / "kubernetes-json-schema"


def available(source: Path) -> list[str]:
    """The supported Kubernetes minors that the package carries."""
    return [version for version in SUPPORTED if _folder(source, version).is_dir()]


def chosen(text: str | None, source: Path) -> list[str]:
    """The minors that `--kubernetes-version` names, or all of them."""
    known = available(source)
    if text is None:
        return known
    versions = [re.sub(r"^v?(\d+\.\d+)(\.\d+)?$", r"\1", part.strip()) for part in text.split(",")]
    unknown = [version for version in versions if version not in known]
    if unknown:
        message = f"--kubernetes-version: expected some of {', '.join(known)}; got {', '.join(map(repr, unknown))}"
        raise UsageFailure(message, "name minors, separated by commas")
    return list(dict.fromkeys(versions))


def _folder(source: Path, version: str) -> Path:
    return source / f"v{version}.0-local-strict"


# kubeconform's own {{.KindSuffix}} has only the first word of the group, which two groups may share.
TEMPLATE = "{{.Group}}_{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"


def file_name(kind: str, api_version: str) -> str:
    """What `TEMPLATE` stands for: kubeconform takes the version of the core group for its name."""
    group, _, version = api_version.rpartition("/")
    return f"{group or version}_{kind.lower()}_{version}.json"


def _source_name(kind: str, api_version: str) -> str:
    """How the package names its files."""
    group, _, version = api_version.rpartition("/")
    return "-".join(filter(None, [kind.lower(), group.partition(".")[0].lower(), version.lower()])) + ".json"


@dataclass(frozen=True)
class Catalog:
    """The schemas of one Kubernetes minor, prepared in a folder of their own."""

    version: str
    source: Path
    cache: Path

    @cached_property
    def _definitions_text(self) -> bytes:
        return (_folder(self.source, self.version) / "_definitions.json").read_bytes()

    @cached_property
    def _definitions(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self._definitions_text)["$defs"]
        return loaded

    @cached_property
    def folder(self) -> Path:
        """Where the prepared files lie; another release of the package gets another folder."""
        checksum = sha256(_FORMAT + self._definitions_text).hexdigest()[:16]
        return self.cache / f"v{self.version}-{checksum}"

    def prepare(self, kind: str, api_version: str) -> bool:
        """See to it that the schema of a kind is in the folder; False when this Kubernetes does not know the kind."""
        target = self.folder / file_name(kind, api_version)
        if target.is_file():
            return True
        schema = self._schema(kind, api_version)
        if schema is None:
            return False
        write_once(target, json.dumps(schema, separators=(",", ":")))
        return True

    def _schema(self, kind: str, api_version: str) -> dict[str, Any] | None:
        path = _folder(self.source, self.version) / _source_name(kind, api_version)
        group, _, version = api_version.rpartition("/")
        if not path.is_file():
            return None
        schema: dict[str, Any] = json.loads(path.read_bytes())
        # The file's name has only the first word of the group: networking.example.com is not networking.k8s.io.
        if {"group": group, "kind": kind, "version": version} not in schema.get("x-kubernetes-group-version-kind", []):
            return None
        return self_contained(schema, self._definitions)


def self_contained(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema with every definition that it needs inside it, and without the URL that would make references remote."""
    needed: dict[str, Any] = {}
    waiting = list(_references(schema))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = definitions[name]
            waiting.extend(_references(definitions[name]))
    body = {key: value for key, value in schema.items() if key != "$id"}
    return {**_local(body), "$defs": {name: _local(needed[name]) for name in sorted(needed)}}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        found = _definition(node)
        if found:
            yield found
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _definition(node: dict[str, Any]) -> str:
    # A property may be called $ref too (JSONSchemaProps has one): then the value is a schema, no text.
    reference = node.get("$ref")
    match = _DEFINITION.fullmatch(reference) if isinstance(reference, str) else None
    return match[1] if match else ""


def _local(node: Any) -> Any:
    """References into the file itself, and no descriptions: kubeconform reads each file anew in every run."""
    if isinstance(node, list):
        return [_local(value) for value in node]
    if not isinstance(node, dict):
        return node
    name = _definition(node)
    if name:
        return {"$ref": f"#/$defs/{name}"}
    return {key: _local(value) for key, value in node.items() if not (key == "description" and isinstance(value, str))}


def write_once(target: Path, text: str) -> None:
    """Write a cache file so that a run beside this one never reads half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(target)
