"""Whatever comes in: never a traceback, never an empty or shorter success, nothing on standard output when refused."""

from __future__ import annotations

import copy
import json
import re
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emqx_fn.problem import parse

from .builds import CONFIG, MODES, documents, function, injected, main_in_process, plugin_input, stream

SECONDS = 10.0
_SEPARATOR = re.compile(rb"^---[ \t]*(?:#.*)?\r?\n", re.MULTILINE)
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, "", " ", "emqx", "$(EMQX_NAME)", "$(", "none", "k8s", "emqx/emqx", "emqx/emqx:latest", ":", "@"),
    *("a\nb", "ü", "x" * 5000, [], {}, [None], [[]], [{}], [1, "a"], {"": None}, {"name": None}, {"name": 1}, {"name": "emqx"}),
    *([{"name": "emqx"}], [{"name": ["x"]}], [{"name": {}}], {"a": {"b": [{"c": 1}]}}, "[1]", "{}", "999999999999999999999"),
)


class Sandbox:
    """A config file for the exec protocol, and the judgement of every run."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.yaml"

    def run(self, data: bytes, config: bytes, kind: str = "EmqxCluster") -> int:
        self.config.write_bytes(config)
        started = time.monotonic()
        code, output, problems = main_in_process([kind, str(self.config)], data)
        assert time.monotonic() - started < SECONDS
        judge(code, output, problems, data, kind)
        return code


def judge(code: int, output: bytes, problems: str, data: bytes, kind: str) -> None:
    """The sentences that hold for every run of the exec protocol."""
    assert code in (0, 1)
    assert "Traceback" not in problems
    assert "internal-error" not in problems, problems
    if code == 1:
        assert output == b""
        heading = re.match(r"emqx-gitops: (\d+) problems?, nothing was written\n", problems)
        assert heading, problems
        assert len(parse(problems)) == int(heading[1]), problems
    else:
        assert problems == ""
        assert count(output) >= count(data) if kind == "EmqxCluster" else output == b""
        assert output.strip() or kind == "EmqxPolicy"


def count(data: bytes) -> int:
    """Documents of a stream: pieces between separators that hold more than comments."""
    return sum(any(line.strip() and not line.startswith((b"#", b"%", b"...")) for line in piece.split(b"\n")) for piece in _SEPARATOR.split(data))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return Sandbox(tmp_path_factory.mktemp("fuzz"))


def as_stream(objects: list[Any]) -> bytes:
    return yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True).encode()


def places(data: Any, found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    """Every (container, key) of a tree."""
    found = [] if found is None else found
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        found.append((data, key))
        places(data[key], found)
    return found


def mutate(objects: list[Any], chance: Random) -> None:
    """One change somewhere: delete, replace, duplicate, rename a key, move a value elsewhere, swap two documents."""
    everywhere = places(objects)
    if not everywhere:
        return
    container, key = chance.choice(everywhere)
    operation = chance.randrange(6)
    if operation == 0:
        del container[key]
    elif operation == 1:
        container[key] = copy.deepcopy(chance.choice(_ODD))
    elif operation == 2 and isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    elif operation == 3 and isinstance(container, dict):
        container[chance.choice(["name", "kind", "spec", "x", "metadata", "value", "valueFrom"])] = container.pop(key)
    elif operation == 4:
        other, place = chance.choice(everywhere)
        container[key] = copy.deepcopy(other[place]) if place in other or isinstance(other, list) else None
    else:
        first, second = chance.randrange(len(objects)), chance.randrange(len(objects))
        objects[first], objects[second] = objects[second], objects[first]


BASES = [stream(MODES[0], "4.4.19"), stream(MODES[-1], "5.8.9"), injected(stream(MODES[5], "4.1.5")), injected(stream(MODES[-2], "6.3.0"))]
CONFIG_BYTES = json.dumps(CONFIG).encode()
POLICY_BYTES = json.dumps({**CONFIG, "kind": "EmqxPolicy"}).encode()


@settings(max_examples=500)
@given(st.integers(0, len(BASES) - 1), st.integers(1, 4), st.integers(0, 2**32))
def test_changed_trees(sandbox: Sandbox, base: int, changes: int, seed: int) -> None:
    objects, chance = documents(BASES[base]), Random(seed)
    for _ in range(changes):
        mutate(objects, chance)
    data = as_stream(objects)
    sandbox.run(data, CONFIG_BYTES)
    sandbox.run(data, POLICY_BYTES, "EmqxPolicy")


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_changed_settings(sandbox: Sandbox, seed: int) -> None:
    """Changes inside a spec that uses every field."""
    chance = Random(seed)
    spec = [copy.deepcopy(EVERY_FIELD)]
    for _ in range(chance.randrange(1, 4)):
        mutate(spec, chance)
    objects = documents(BASES[chance.randrange(2)])
    for item in objects:
        if item["kind"] == "EmqxCluster":
            item["spec"] = spec[0] if spec else None
    sandbox.run(as_stream(objects), CONFIG_BYTES)


EVERY_FIELD: dict[str, Any] = {
    "requires": ">=0.1,<1",
    "workload": {"kind": "StatefulSet", "name": "emqx"},
    "version": "5.8.9",
    "edition": "enterprise",
    "ipFamily": "IPv4",
    "node": {"name": "mq", "cookie": {"secretKeyRef": {"name": "c", "key": "k"}}},
    "discovery": {"strategy": "k8s", "addressType": "hostname", "clusterDomain": "a.b", "autoclean": "5m", "autoheal": True},
    "dashboard": {"port": 18083, "password": {"secretKeyRef": {"name": "p", "key": "k"}}},
    "license": {"secretKeyRef": {"name": "l", "key": "k"}},
    "listeners": {"tcp": {"port": 1883}, "wss": {"port": 8084, "tls": {"secretName": "t"}}, "inner": {"type": "tcp", "port": 11884}},
    "policy": {"allow": [{"rule": "fs-group", "reason": "a reason", "until": "2030-01-01"}]},
}


@settings(max_examples=300)
@given(st.integers(0, len(BASES) - 1), st.integers(0, 2**32), st.integers(1, 3))
def test_changed_bytes(sandbox: Sandbox, base: int, seed: int, changes: int) -> None:
    data, chance = bytearray(BASES[base].encode()), Random(seed)
    for _ in range(changes):
        scramble(data, chance)
    sandbox.run(bytes(data), CONFIG_BYTES)


def scramble(data: bytearray, chance: Random) -> None:
    """Cut, insert, delete or repeat bytes, or shift a line."""
    place = chance.randrange(len(data) + 1)
    operation = chance.randrange(5)
    if operation == 0:
        del data[place:]
    elif operation == 1:
        data[place:place] = chance.choice(
            [
                b"\x00",
                b"\xff",
                b"\t",
                b"{",
                b"]",
                b": ",
                b"- ",
                b"&a ",
                b"*a ",
                b"---\n",
                b"\n",
                b"#",
                b"'",
                b'"',
                b"|\n",
                b"? ",
                b"!!python/object:os.system ",
                b"%YAML 1.1\n",
            ]
        )
    elif operation == 2:
        del data[place : place + chance.randrange(1, 40)]
    elif operation == 3:
        data[place:place] = data[place : place + chance.randrange(1, 400)]
    else:
        line = data.rfind(b"\n", 0, place) + 1
        data[line:line] = b" " * chance.randrange(1, 4)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.binary(max_size=60))
@example(b"", b"")
@example(b"\n\n---\n# nothing\n", b"kind: EmqxClusters")
def test_any_bytes(sandbox: Sandbox, data: bytes, config: bytes) -> None:
    assert sandbox.run(data, CONFIG_BYTES) == 1
    assert sandbox.run(BASES[0].encode(), config) == 1


@settings(max_examples=200)
@given(
    st.recursive(
        st.sampled_from(_ODD),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["kind", "metadata", "spec", "name", "apiVersion", "items"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_any_config(sandbox: Sandbox, config: Any) -> None:
    sandbox.run(BASES[0].encode(), json.dumps(config).encode())
    sandbox.run(BASES[0].encode(), json.dumps({**CONFIG, "spec": config}).encode())
    sandbox.run(BASES[0].encode(), json.dumps({"kind": "EmqxPolicy", "spec": config}).encode(), "EmqxPolicy")


WORKLOAD = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: emqx\nspec: "
BOMBS = {
    "nested-lists": WORKLOAD + "[" * 5000,
    "nested-lists-closed": WORKLOAD + "[" * 5000 + "]" * 5000 + "\n",
    "nested-maps": WORKLOAD + "{a: " * 3000 + "1" + "}" * 3000 + "\n",
    "nested-blocks": WORKLOAD + "\n" + "".join("  " + " " * depth + "a:\n" for depth in range(900)),
    "aliases": WORKLOAD + "\n  a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    "alias-to-itself": WORKLOAD + "&a [*a]\n",
    "alias-to-nothing": WORKLOAD + "*gone\n",
    "merge-to-itself": WORKLOAD + "&a\n  <<: *a\n  image: emqx/emqx:5.8.9\n",
    "huge-number": WORKLOAD + f"\n  replicas: {'9' * 20000}\n  template: {{spec: {{containers: [{{name: emqx, image: 'emqx/emqx:5.8.9'}}]}}}}\n",
    "huge-replicas": WORKLOAD + "\n  replicas: 999999999999999999\n  template: {spec: {containers: [{name: emqx, image: 'emqx/emqx:5.8.9'}]}}\n",
    "long-key": WORKLOAD + f"\n  ? {'k' * 5000}\n  : 1\n",
    "key-that-is-a-list": WORKLOAD + "\n  ? [a, emqx]\n  : 1\n",
    "python-object": WORKLOAD + "!!python/object/apply:os.system ['exit 7']\n",
    "two-documents-in-one-line": WORKLOAD + "{}\n--- {kind: X}\n",
    "directive": "%YAML 1.1\n---\n" + WORKLOAD + "{image: 'emqx/emqx:5.8.9'}\n...\n",
    "nul": WORKLOAD + "\x00emqx\n",
    "many-documents": (WORKLOAD.replace("name: emqx", "name: x") + "{}\n---\n") * 3000 + WORKLOAD + "{}\n",
    "long-scalar": WORKLOAD + "\n  emqx: " + "x" * 2_000_000 + "\n",
    "regex-trap": WORKLOAD + "\n  template: {spec: {containers: [{name: emqx, image: 'emqx/emqx:" + "1." * 3000 + "x'}]}}\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str, tmp_path: Path) -> None:
    """As a process: a bomb may take the interpreter with it."""
    config = tmp_path / "config.yaml"
    settings_document = "---\napiVersion: emqx-gitops.dev/v1alpha1\nkind: EmqxCluster\nmetadata: {name: emqx}\n"
    for text in (BOMBS[name] + settings_document, f"{plugin_input('persistent')}---\n{BOMBS[name].replace('kind: StatefulSet', 'kind: EmqxCluster')}"):
        config.write_bytes(CONFIG_BYTES)
        started = time.monotonic()
        done = function(["EmqxCluster", str(config)], text.encode())
        assert time.monotonic() - started < SECONDS
        judge(done.returncode, done.stdout, done.stderr.decode(), text.encode(), "EmqxCluster")


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_as_config_and_as_resource_list(name: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(BOMBS[name].replace("kind: StatefulSet", "kind: EmqxCluster"))
    done = function(["EmqxCluster", str(config)], plugin_input("persistent").encode())
    judge(done.returncode, done.stdout, done.stderr.decode(), plugin_input("persistent").encode(), "EmqxCluster")
    done = function([], BOMBS[name].replace("kind: StatefulSet", "kind: ResourceList").replace("spec: ", "items: ").encode())
    assert done.returncode == 1
    assert b"internal-error" not in done.stderr
    assert b"Traceback" not in done.stderr


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_changed_resource_lists(seed: int) -> None:
    """The KRM protocol: a refusal still answers with a ResourceList, or with nothing where there was none; never with items."""
    chance = Random(seed)
    body = [
        {
            "apiVersion": "config.kubernetes.io/v1",
            "kind": "ResourceList",
            "items": documents(BASES[chance.randrange(len(BASES))]),
            "functionConfig": copy.deepcopy(CONFIG),
        }
    ]
    for _ in range(chance.randrange(1, 4)):
        mutate(body, chance)
    items = body[0].get("items") if body and isinstance(body[0], dict) else None
    code, output, problems = main_in_process([], as_stream(body[:1]))
    assert "internal-error" not in problems, problems
    result = yaml.load(output, Loader=yaml.CSafeLoader) if output else None
    if code == 0:
        assert result is not None
        assert len(result["items"]) >= len(items or []) > 0
    else:
        assert not result or (result["items"] == [] and result["results"])
