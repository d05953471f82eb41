"""docs/settings.md, written from the tables that the function reads settings by."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn.spec import FIELDS, POLICY_FIELDS, WAIVABLE, Field

HEAD = """\
# Settings

Every field of `spec`, for the two kinds of `emqx-gitops.dev/v1alpha1`.
Written from the tables in `plugins/emqx_fn/spec.py`; `make update-goldens` writes it anew.
Editors get the same from `plugins/schemas/`, by the comment in the first line of each `emqx.yaml`.

A field that is left out is derived from the YAML in the build, as the column *Left out* says.
"""

CLUSTER = """\
## EmqxCluster

The settings of one EMQX cluster; `plugins/inject` applies them.
`<name>` stands for a name of your choice, `[]` for an entry of a list.
"""

POLICY = """\
## EmqxPolicy

The same checks without writing anything; `plugins/check` runs them.
"""

WAIVERS = """\
## Rules that may be waived

`policy.allow` (in an EmqxPolicy: `allow`) is a list, so a layer that patches it replaces it as a whole.
It may name {rules}; [the rules](rules/README.md) say what each of them guards against.
Any other rule stands, and naming it here is refused: what it guards against would not run, or would not form a cluster.
"""


def page() -> str:
    """The whole document."""
    rules = ", ".join(f"`{rule}`" for rule in sorted(WAIVABLE))
    return "\n".join([HEAD, CLUSTER, _table(FIELDS), POLICY, _table(POLICY_FIELDS), WAIVERS.format(rules=rules)])


def _table(fields: dict[str, Field]) -> str:
    head = "| Field | Type | Left out | Meaning |\n|---|---|---|---|\n"
    return head + "".join(f"| `{path}` | {_type(field)} | {_absent(field, needed)} | {_meaning(field)} |\n" for path, field, needed in _rows(fields, "", ()))


def _rows(fields: dict[str, Field], prefix: str, required: tuple[str, ...]) -> Iterator[tuple[str, Field, bool]]:
    for name, field in fields.items():
        yield f"{prefix}{name}", field, name in required
        yield from _below(field, f"{prefix}{name}")


def _below(field: Field, path: str) -> Iterator[tuple[str, Field, bool]]:
    if field.fields:
        yield from _rows(field.fields, f"{path}.", field.required)
    if field.items and field.items.fields:
        step = ".<name>" if field.type == "map" else "[]"
        yield from _rows(field.items.fields, f"{path}{step}.", field.items.required)


def _type(field: Field) -> str:
    if field.enum and not field.expected:
        return ", ".join(f"`{value}`" for value in field.enum)
    return f"{field.type}, {field.minimum} to {field.maximum}" if field.maximum else field.type


def _absent(field: Field, needed: bool) -> str:
    return "required" if needed else _cell(field.default)


def _meaning(field: Field) -> str:
    return _cell(f"{field.doc} Expected: {field.expected}." if field.expected else field.doc)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
