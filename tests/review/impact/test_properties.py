"""What always holds: no finding where nothing changes, none that depends on order, no traceback, no secret in a message."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.review.differences import differences
from emqx_gitops.review.impact import findings
from emqx_gitops.review.model import SEVERITIES, Finding, Pair
from emqx_gitops.sources import Read

from .harness import ROOT, STREAMS, pair, shown

OURS = {path.stem: path.read_text() for path in sorted(STREAMS.glob("*.yaml"))}
THEIRS = {str(path.relative_to(ROOT / "tests")): path.read_text() for path in sorted((ROOT / "tests" / "rules" / "cases").glob("*/*/stream.yaml"))}
STREAMS_OF_ALL = OURS | THEIRS
CASES = sorted((Path(__file__).parent / "cases").glob("*/*/case.yaml"))
ODD = (None, [], {}, [[]], [None], "", "x", "${y}", -1, 0, True, 1.5, {"name": 5}, [{"name": None}], "9" * 40)


def read(text: str) -> Rendering:
    return from_text("t", Read(()), text)


def between(before: Rendering, after: Rendering) -> list[Finding]:
    return findings(Pair(Target(Path("t"), "t"), before, after, differences(before, after)))


@pytest.mark.parametrize("name", STREAMS_OF_ALL)
def test_nothing_changes(name: str) -> None:
    same = read(STREAMS_OF_ALL[name])
    assert differences(same, read(STREAMS_OF_ALL[name] + "\n# a comment\n")) == ()
    assert between(same, same) == []


@pytest.mark.parametrize("name", STREAMS_OF_ALL)
def test_order_of_documents_and_keys_means_nothing(name: str) -> None:
    documents = [item for item in yaml.load_all(STREAMS_OF_ALL[name], Loader=yaml.CSafeLoader) if item]
    turned = "---\n".join(json.dumps(backwards(item)) + "\n" for item in reversed(documents))
    assert differences(read(STREAMS_OF_ALL[name]), read(turned)) == ()


def backwards(value: Any) -> Any:
    """The same with the keys of each mapping the other way round, and rules, peers, ports and verbs too, where no pod reads them."""
    if isinstance(value, dict):
        turned = {key: backwards(item) for key, item in reversed(value.items())}
        return {
            key: list(reversed(item)) if key in ("rules", "verbs", "resources", "ingress", "egress", "subjects") and turns(value, item) else item
            for key, item in turned.items()
        }
    return [backwards(item) for item in value] if isinstance(value, list) else value


def turns(owner: dict[str, Any], item: Any) -> bool:
    return isinstance(item, list) and owner.get("kind") in (None, "Role", "ClusterRole", "RoleBinding", "NetworkPolicy") and "host" not in str(item)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.parent.name}/{path.parent.name}")
def test_worst_first_and_always_the_same(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    found = findings(pair(case))
    order = [SEVERITIES.index(finding.severity) for finding in found]
    assert order == sorted(order)
    assert shown(found) == shown(findings(pair(case)))
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", OURS)
def test_both_ways_round(name: str) -> None:
    """To another overlay and back: nothing breaks, whatever comes and goes."""
    for other in OURS.values():
        assert isinstance(between(read(OURS[name]), read(other)), list)


@pytest.mark.parametrize("seed", range(120))
def test_odd_values(seed: int) -> None:
    """Whatever stands in a field, there is an answer."""
    chance = random.Random(seed)
    text = chance.choice(sorted(STREAMS_OF_ALL.values()))
    documents = [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]
    for _ in range(3):
        places = [place for document in documents for place in leaves(document)]
        owner, key = chance.choice(places)
        owner[key] = json.loads(json.dumps(chance.choice(ODD)))
    before, after = read(text), read("---\n".join(json.dumps(item) + "\n" for item in documents))
    assert isinstance(between(before, after), list)
    assert isinstance(between(after, before), list)


def leaves(value: Any) -> list[tuple[Any, Any]]:
    keys = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [(value, key) for key, _ in keys if key not in ("kind", "apiVersion")] + [place for _, item in keys for place in leaves(item)]


SECRET = "correct-horse-battery-staple-7"


@pytest.mark.parametrize(
    "change",
    [
        {"StatefulSet/emqx": {"spec": {"template": {"spec": {"containers": [{"name": "emqx", "env": [{"name": "EMQX_NODE__COOKIE", "value": SECRET}]}]}}}}},
        {"ConfigMap/emqx-env-6ct58987ht": {"data": {"EMQX_AUTHENTICATION__1__PASSWORD": SECRET}}},
        {"Secret/own": {"stringData": {"cookie": SECRET}}},
    ],
    ids=["variable", "config-map", "secret"],
)
def test_no_secret_in_a_message(change: dict[str, Any]) -> None:
    own = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own", "namespace": "emqx"}, "immutable": True, "stringData": {"cookie": "before"}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "own", "namespace": "emqx"}}
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1", "env": [{"name": "PASSWORD", "value": "a"}]}]}}}
    old = {"stream": "persistent", "add": [own, {**job, "spec": spec}]}
    new = {**old, "change": {name: patch for name, patch in change.items() if name != "Secret/own"}}
    new["add"] = [{**own, **change.get("Secret/own", {})}, {**job, "spec": json.loads(json.dumps(spec).replace('"a"', f'"{SECRET}"'))}]
    found = findings(pair({**new, "before": {"add": old["add"]}}))
    assert found
    assert SECRET not in shown(found)


def test_what_does_not_render_has_no_findings() -> None:
    broken = read("kind: [")
    assert broken.problems
    assert between(broken, read(OURS["persistent"])) == []


def test_the_plugin_did_it() -> None:
    """A roll is the plugin's when every field of the pod template that differs is."""
    made = pair({"stream": "persistent", "replace": {"emqx/emqx:5.8.9": "emqx/emqx:5.8.10"}})
    fields = [replace(one, fields=tuple(field._replace(cause="plugin") for field in one.fields)) for one in made.differences]
    found = {finding.rule: finding.cause for finding in findings(replace(made, differences=tuple(fields)))}
    assert found == {"pods-roll": "plugin", "roll-may-stick": "plugin"}
    assert {finding.cause for finding in findings(made)} == {"input"}
