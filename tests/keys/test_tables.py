"""The tables by themselves, and against the folder that they are made from where there is one."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from emqx_fn import misnamed
from emqx_fn.keytable import FAMILIES, FOLDER, NEWEST, Key, Reader, Table, table, table_of
from emqx_fn.values import Field, alternatives, judge, words

from .tables import ALL, editions, newest, release, rows

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT.parent / "shared" / "emqx-keys"
# Upstream's own: a default that its own type refuses.
MISFIT = "s3.transport_options.enable_pipelining"

every_table = pytest.mark.parametrize("source", [source for _, source in ALL], ids=FAMILIES)


@pytest.mark.skipif(not SOURCE.is_dir(), reason="the JSON tables are not beside this clone")
def test_the_tables_are_what_the_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "tools" / "keys" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.generate(SOURCE)
    assert {path.name: path.read_text() for path in Path(FOLDER).iterdir()} == made


def test_there_is_a_table_for_each_family_and_no_other() -> None:
    assert sorted(path.name for path in Path(FOLDER).iterdir()) == sorted([*(f"{family}.txt" for family in FAMILIES), "renames.txt"])
    assert table_of(release("5.10.4")) is table("5.10")
    assert table_of(release("4.0.13")) is None
    assert table_of(release("6.4.0")) is None


@every_table
def test_lines_are_sorted_and_well_formed(source: Table) -> None:
    assert source.lines == sorted(source.lines)
    segment = r"(?:[a-z0-9_]+|\$name|\$index)"
    version = r"\d+\.\d+(?:\.\d+(?:-beta\.\d+)?)?"
    mark = rf"ce|ee|(?:since|until)={version}|deprecated=(?:{version}|yes)|alias={segment}(?:\.{segment})*|dropped|converted|hidden|open|upcoming"
    for pattern, kind, marks in rows(source):
        assert re.fullmatch(rf"{segment}(?:\.{segment})*", pattern), pattern
        assert kind, pattern
        assert all(re.fullmatch(mark, one) for one in marks), (pattern, marks)
    assert source.strict.isdisjoint(source.partial)
    assert {
        pattern.split(".")[0] for pattern, kind, marks in rows(source) if kind != "-" and "until" not in " ".join(marks)
    } - source.strict - source.partial <= {"license"}


@every_table
def test_every_key_is_found_as_itself(source: Table) -> None:
    for pattern, kind, marks in rows(source):
        path = pattern.replace("$name", "some_name_of_mine").replace("$index", "1")
        for edition in editions(source):
            if f"{edition[0]}e" in marks or not {"ce", "ee"} & set(marks):
                patch = next((int(mark.rpartition(".")[2]) for mark in marks if mark.startswith("until=")), 999)
                key = source.find(path, Reader(edition, patch))
                assert key, (pattern, edition)
                assert key.pattern == pattern
                assert key.type == kind.partition("=")[0] or kind == "-"


@every_table
def test_a_key_of_one_edition_is_not_in_the_other(source: Table) -> None:
    both = {pattern for pattern, _, marks in rows(source) if "ce" in marks} & {pattern for pattern, _, marks in rows(source) if "ee" in marks}
    for pattern, _, marks in rows(source):
        path = pattern.replace("$name", "some_name_of_mine").replace("$index", "1")
        if pattern not in both and {"ce", "ee"} & set(marks):
            key = source.find(path, NEWEST["enterprise" if "ce" in marks else "community"])
            assert key is None or key.pattern != pattern or not key.type, pattern


@every_table
def test_aliases_lead_to_keys(source: Table) -> None:
    patterns = {pattern for pattern, _, _ in rows(source)}
    objects = {pattern.rpartition(".")[0] for pattern in patterns}
    while objects - patterns - {""}:
        patterns |= objects
        objects = {pattern.rpartition(".")[0] for pattern in objects}
    for pattern, _, marks in rows(source):
        for mark in marks:
            if mark.startswith("alias="):
                assert mark[6:] in patterns, (pattern, mark)


@every_table
def test_every_default_fits_its_own_type(source: Table) -> None:
    for pattern, kind, marks in rows(source):
        name, equals, default = kind.partition("=")
        if not equals or "..." in default or "deprecated" in " ".join(marks) or MISFIT in pattern or name == "any" or "{emqx_ds" in default:
            continue
        key = Key(pattern, pattern, name, default, has_default=True, marks=tuple(marks))
        # 4.1 is left out of the trap of sed: a default is not written by the entrypoint.
        verdict = judge(Field(key, source.family, "cuttlefish" if source.loader == "sed" else source.loader, "", lambda _: None), default)
        empty = not default and source.loader != "hocon"
        # In 5.0 a default is a term of Erlang: the trap is for variables.
        assert empty or verdict is None or (source.family == "5.0" and "string" in name) or verdict.rule == "unsafe-value", (pattern, kind, default, verdict)


@pytest.mark.parametrize(
    ("family", "edition", "path", "pattern", "below"),
    [
        ("5.8", "community", "listeners.tcp.my-own.bind", "listeners.tcp.$name.bind", False),
        ("5.8", "community", "authentication.1.backend", "authentication.$index.backend", False),
        ("5.8", "community", "authentication.one.backend", None, False),
        ("5.8", "community", "authentication.$index.backend", None, False),
        ("5.8", "community", "gateway.coap.listeners.udp.default.bind", "gateway.coap.listeners", True),
        ("5.8", "community", "listeners.tcp.default.authentication.1.backend", "listeners.tcp.$name.authentication", True),
        ("5.8", "enterprise", "actions.kafka_producer.x.parameters.topic", "actions.kafka_producer.$name", True),
        ("5.8", "community", "actions.kafka_producer.x.parameters.topic", None, False),
        ("5.8", "community", "cluster.k8s", "cluster.k8s", False),
        ("5.8", "community", "cluster.k8", None, False),
        ("5.8", "community", "clus", None, False),
        ("5.8", "community", "license", None, False),
        ("5.8", "enterprise", "license", "license", False),
        ("4.4", "community", "cluster.k8s", None, False),
        ("4.4", "community", "listener.tcp.mine", "listener.tcp.$name", False),
        ("4.4", "community", "listener.tcp.mine.acceptors", "listener.tcp.$name.acceptors", False),
        ("4.4", "community", "listener.tcp.mine.access.1", "listener.tcp.$name.access.$name", False),
        ("4.1", "community", "listener.tcp.external", "listener.tcp.external", False),
        ("4.1", "community", "listener.tcp.mine", None, False),
        ("6.2", "enterprise", "authentication.1.oauth2.client_id", "authentication.$index.oauth2.client_id", False),
    ],
)
def test_walk(family: str, edition: str, path: str, pattern: str | None, *, below: bool) -> None:
    key = table(family).find(path, NEWEST[edition])
    assert (key and (key.pattern, key.below)) == (pattern and (pattern, below))


@pytest.mark.parametrize(
    ("family", "name", "path"),
    [
        ("5.8", "EMQX_CLUSTER__K8S__SUFFIX", "cluster.k8s.suffix"),
        ("5.8", "EMQX_Cluster__k8s__SUFFIX", "cluster.k8s.suffix"),
        ("5.8", "EMQX_CLUSTER____K8S__SUFFIX__", "cluster.k8s.suffix"),
        ("5.8", "EMQX_", ""),
        ("4.4", "EMQX_NODE__NAME__", "node.name"),
        ("4.3", "EMQX_NODE__NAME____", ""),
        ("4.4", "EMQX_NODE____NAME", ""),
        ("4.4", "EMQX_LISTENER__TCP__", "listener.tcp"),
        ("4.2", "EMQX_NODE__NAME__", ""),
        ("4.1", "EMQX_NODE__NAME", "node.name"),
    ],
)
def test_names(family: str, name: str, path: str) -> None:
    assert table(family).path(name) == path


@pytest.mark.parametrize(
    ("path", "proper"),
    [
        ("node.db_role", "node.role"),
        ("cluster.etcd.ssl.cacertfile", "cluster.etcd.ssl_options.cacertfile"),
        ("listeners.tcp.mine.enabled", "listeners.tcp.mine.enable"),
        ("actions.webhook.mine.parameters.url", "actions.http.mine.parameters.url"),
        ("node.role", "node.role"),
    ],
)
def test_proper_paths(path: str, proper: str) -> None:
    key = table("5.8").find(path, NEWEST["community"])
    assert key
    assert key.proper == proper


def test_patches() -> None:
    source = table("5.0")
    assert source.find("node.role", Reader("community", 22)) is None
    assert source.find("node.role", Reader("community", 23))
    assert source.find("node.role", Reader("enterprise", 0))  # the patches of the editions are not the same ones
    assert source.find("connectors.mqtt.x", Reader("community", 11))
    assert source.find("connectors.mqtt.x", Reader("community", 12)) is None
    assert table("6.3").find("authentication.1.max_fail_count", Reader("enterprise", 0))  # since a beta of 6.3.0


@every_table
def test_types_can_be_said(source: Table) -> None:
    for kind in {kind.partition("=")[0] for _, kind, _ in rows(source)} - {"-"}:
        assert "oneof" not in words(kind) + words(kind, old=True)
        assert words(kind) != "anything" or kind == "any"


def test_alternatives() -> None:
    assert alternatives("oneof(enum(a,b),int(1..5),string)") == ["enum(a,b)", "int(1..5)", "string"]
    assert alternatives("enum(a,b)") == ["enum(a,b)"]
    assert alternatives("") == ["object"]


def test_renames_lead_somewhere() -> None:
    for rename in misnamed.renames():
        assert rename.step.count(">") == 1
        assert rename.old
    targets = [rename.new for rename in misnamed.renames() if rename.step == "4>5" and rename.new and not rename.new.startswith("EMQX_")]
    known = [any(table(family).find(target.replace("$index", "1").replace("$name", "x"), None) for family in FAMILIES[4:]) for target in targets]
    assert all(known)
    assert newest("5.8").patch == 999
