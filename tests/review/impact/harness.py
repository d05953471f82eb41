"""A case of a finding: a stream, what is done to it, and what that means.

`case.yaml` names the `stream` that a shipped overlay gives (or has its own objects in `objects`), and how it differs at
head, and at base: `change` merges into objects by `Kind/name` (a field that is null goes, entries of lists are found by
their names), `add` and `remove` are objects and their `Kind/name`, `replace` is words in the whole text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.review.differences import differences
from emqx_gitops.review.impact import findings
from emqx_gitops.review.model import Finding, Pair
from emqx_gitops.sources import Read

ROOT = Path(__file__).resolve().parents[3]
STREAMS = ROOT / "tests" / "overlays" / "goldens"
KEYS = ("name", "mountPath", "containerPort", "port")

Document = dict[str, Any]


def said(folder: Path) -> str:
    """The findings of a case, as its golden has them."""
    case = yaml.safe_load((folder / "case.yaml").read_text())
    return shown(findings(pair(case)))


def pair(case: Document) -> Pair:
    """The two renderings of a case; `gone: true` is a folder that is not there at head, `new: true` at base."""
    before, after = rendering(edited(stream(case), case.get("before", {}))), rendering(edited(stream(case), case))
    old, new = (None if case.get("new") else before), (None if case.get("gone") else after)
    return Pair(Target(Path("clusters/prod"), "clusters/prod"), old, new, differences(before, after) if old and new else ())


def rendering(documents: list[Document]) -> Rendering:
    made = from_text("clusters/prod", Read(()), "---\n".join(yaml.safe_dump(document) for document in documents))
    assert made.problems == ()
    return made


def stream(case: Document) -> list[Document]:
    if "objects" in case:
        return [json.loads(json.dumps(item)) for item in case["objects"]]
    return [item for item in yaml.load_all((STREAMS / f"{case['stream']}.yaml").read_text(), Loader=yaml.CSafeLoader) if item]


def edited(documents: list[Document], edits: Document) -> list[Document]:
    """The stream with the edits of one side."""
    found = {label(item): item for item in documents}
    for name in edits.get("remove", ()):
        del found[name]
    for name, patch in edits.get("change", {}).items():
        found[name] = merged(found[name], patch)
    text = json.dumps([*found.values(), *edits.get("add", ())])
    for old, new in edits.get("replace", {}).items():
        assert old in text, old
        text = text.replace(old, new)
    return json.loads(text)


def label(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def merged(value: Any, patch: Any) -> Any:
    if isinstance(value, dict) and isinstance(patch, dict):
        result = {**value, **{key: merged(value.get(key), item) for key, item in patch.items()}}
        return {key: item for key, item in result.items() if item is not None}
    if isinstance(value, list) and isinstance(patch, list) and (key := key_of(value, patch)):
        new = {item[key]: item for item in patch}
        return [merged(item, new.pop(item[key], {})) for item in value] + list(new.values())
    return patch


def key_of(value: list[Any], patch: list[Any]) -> str:
    every = [*value, *patch]
    return next((key for key in KEYS if every and all(isinstance(item, dict) and key in item for item in every)), "")


def shown(found: list[Finding]) -> str:
    return "".join(map(one, found))


def one(finding: Finding) -> str:
    place = ": ".join(part for part in (finding.object, finding.path) if part)
    steps = "".join(f"  {number}. {step}\n" for number, step in enumerate(finding.plan, start=1))
    by = " (by the plugin)" if finding.cause == "plugin" else ""
    return f"{finding.severity} {finding.rule}{by}: {place}\n  {finding.message}\n{steps}"
