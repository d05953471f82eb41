"""CustomResourceDefinition -> strict JSON Schema, by the rules of structural schemas."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from emqx_fn.graph import items, mapping
from emqx_gitops.resources import Resource

_OBJECT_META = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
_INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_API_VERSION = re.compile(r"[a-z0-9][a-z0-9.-]*/[a-z0-9]+")
# What of a structural schema is plain JSON Schema and decides about values.
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength")
_SIZES = ("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties")
_KEPT = ("type", "enum", "pattern", "required", *_BOUNDS, *_SIZES)
_MANY = ("allOf", "anyOf", "oneOf")


def schemas(resources: Iterable[Resource]) -> dict[tuple[str, str], dict[str, Any]]:
    """The schema of every (kind, apiVersion) that the CRDs among `resources` serve."""
    found = {}
    for resource in resources:
        if resource.key.kind != "CustomResourceDefinition" or resource.key.group != "apiextensions.k8s.io":
            continue
        group = str(mapping(resource.data, "spec").get("group"))
        kind = str(mapping(resource.data, "spec", "names").get("kind"))
        for version in items(resource.data.get("spec"), "versions"):
            schema = mapping(version, "schema", "openAPIV3Schema")
            name = f"{group}/{version.get('name')}"
            # The two become a file's name.
            if schema and version.get("served") is not False and _KIND.fullmatch(kind) and _API_VERSION.fullmatch(name):
                found[kind, name] = top_level(schema)
    return found


def top_level(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a whole object: apiVersion, kind and metadata are there even where the CRD does not say so."""
    result = strict(schema)
    result["properties"] = {**result.get("properties", {}), **_OBJECT_META}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **result}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with unknown fields refused, as the API server's strict field validation does."""
    result = _values(schema)
    if schema.get("x-kubernetes-int-or-string") is True:
        result.pop("type", None)
        result["allOf"] = [*result.get("allOf", []), _INT_OR_STRING]
    if "items" in schema:
        result["items"] = strict(mapping(schema, "items"))
    _close(schema, result)
    return _nullable(result) if schema.get("nullable") is True else result


def _values(schema: dict[str, Any]) -> dict[str, Any]:
    """Constraints on values. Under allOf and the like nothing is closed: those parts only narrow what stands above."""
    result = {key: _plain(schema[key]) for key in _KEPT if key in schema}
    for bound in ("Minimum", "Maximum"):
        # OpenAPI's boolean form is a number in JSON Schema.
        if isinstance(result.get(f"exclusive{bound}"), bool):
            exclusive = result.pop(f"exclusive{bound}")
            if exclusive and bound.lower() in result:
                result[f"exclusive{bound}"] = result.pop(bound.lower())
    for key in _MANY:
        if key in schema:
            result[key] = [_narrowing(part) for part in items(schema, key)]
    if "not" in schema:
        result["not"] = _narrowing(mapping(schema, "not"))
    return result


def _narrowing(schema: dict[str, Any]) -> dict[str, Any]:
    result = _values(schema)
    if "properties" in schema:
        result["properties"] = {name: _narrowing(part) for name, part in mapping(schema, "properties").items()}
    if "items" in schema:
        result["items"] = _narrowing(mapping(schema, "items"))
    return result


def _close(schema: dict[str, Any], result: dict[str, Any]) -> None:
    """Properties, and what may stand beside them."""
    properties = mapping(schema, "properties")
    embedded = _OBJECT_META if schema.get("x-kubernetes-embedded-resource") is True else {}
    if properties or embedded:
        result["properties"] = {**{name: strict(part) for name, part in properties.items()}, **embedded}
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        result["additionalProperties"] = strict(additional)
    elif (properties or embedded) and additional is not True and schema.get("x-kubernetes-preserve-unknown-fields") is not True:
        result["additionalProperties"] = False


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"type": "null"}, schema]}


def _plain(value: Any) -> Any:
    """Numbers that YAML spells as text of their own (1e3, 0.5) as numbers."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if getattr(value, "style", None) == "":
        try:
            return float(value)
        except ValueError:
            return str(value)
    return value
