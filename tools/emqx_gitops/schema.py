"""The function's table of fields -> JSON Schemas for editors, committed in plugins/schemas/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emqx_fn import API_VERSION
from emqx_fn.spec import FIELDS, LISTENER_NAME, LISTENER_NAME_LENGTH, POLICY_FIELDS, Field

KINDS = {"emqxcluster": "EmqxCluster", "emqxpolicy": "EmqxPolicy"}
_DRAFT = "http://json-schema.org/draft-07/schema#"
_JSON_TYPES = {"map": "object", "list": "array"}
_DESCRIPTIONS = {
    "EmqxCluster": "Settings of an EMQX cluster that are not Kubernetes fields. The plugin derives everything that is left out.",
    "EmqxPolicy": "Checks a rendering by the rules of EmqxCluster and changes nothing.",
}


def text(kind: str) -> str:
    """The schema file of a kind."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind, draft 7: what editors know best."""
    fields = FIELDS if kind == "EmqxCluster" else POLICY_FIELDS
    return {
        "$schema": _DRAFT,
        "title": kind,
        "description": _DESCRIPTIONS[kind],
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            "spec": _nullable(_object(fields, (), "")),
        },
        "required": ["apiVersion", "kind", "metadata"],
        "additionalProperties": False,
    }


def _object(fields: dict[str, Field], required: tuple[str, ...], doc: str) -> dict[str, Any]:
    result: dict[str, Any] = {"description": doc} if doc else {}
    # The function takes `field:` with nothing behind it for a field left out, and so does this.
    properties = {name: _field(field) if name in required else _nullable(_field(field)) for name, field in fields.items()}
    result |= {"type": "object", "properties": properties, "additionalProperties": False}
    return result | ({"required": list(required)} if required else {})


def _field(field: Field) -> dict[str, Any]:
    doc = field.doc + (f" Default: {field.default}." if field.default else "")
    if field.type == "object":
        return _object(field.fields or {}, field.required, doc)
    result: dict[str, Any] = {"description": doc, "type": _JSON_TYPES.get(field.type, field.type)}
    if field.type == "map" and field.items:
        result |= {
            "propertyNames": {"pattern": _anchored(LISTENER_NAME.pattern), "maxLength": LISTENER_NAME_LENGTH},
            "additionalProperties": _nullable(_field(field.items)),
        }
    elif field.type == "list" and field.items:
        result["items"] = _field(field.items)
    return result | _limits(field)


def _limits(field: Field) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if field.enum:
        limits["enum"] = list(field.enum)
    if field.pattern:
        limits["pattern"] = _anchored(field.pattern)
    if field.maximum:
        limits |= {"minimum": field.minimum, "maximum": field.maximum}
    return limits


def _anchored(pattern: str) -> str:
    """The function matches the whole text; JSON Schema looks for the pattern anywhere, and its dialect knows no (?s)."""
    if pattern.startswith("(?s).*") and pattern.endswith(".*"):
        return pattern.removeprefix("(?s).*").removesuffix(".*")
    return f"^(?:{pattern})$"


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    result = {**schema, "type": [schema["type"], "null"]}
    if "enum" in result:
        result["enum"] = [*result["enum"], None]
    return result


def stale(folder: Path) -> dict[str, str]:
    """The files that `folder` should hold and does not, or holds in another form."""
    wanted = {f"{name}.json": text(kind) for name, kind in KINDS.items()}
    return {name: body for name, body in wanted.items() if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != body}
