"""No report holds a secret, in no form, wherever it stands; and whether it changed stays visible."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from emqx_fn.problem import Problem
from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.review import looks, masks, report
from emqx_gitops.review.differences import differences
from emqx_gitops.review.model import Consent, Finding, Pair, Review, Skipped, TargetReview
from emqx_gitops.sources import Read

from .harness import KEY

MASK = re.compile(r"<masked [0-9a-f]{10}>")
ALPHABETS = {
    "hex": "0123456789abcdef",
    "base62": string.ascii_letters + string.digits,
    "base64": string.ascii_letters + string.digits + "+/",
    "urlsafe": string.ascii_letters + string.digits + "-_",
}


def rendering(*objects: dict[str, Any]) -> Rendering:
    return from_text("x", Read(()), yaml.safe_dump_all(objects, sort_keys=False))


def document(kind: str, name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "iot"}, **fields}


def config(**data: str) -> dict[str, Any]:
    return document("ConfigMap", data=data)


def pod(**container: Any) -> dict[str, Any]:
    return document("Pod", "pod", spec={"containers": [{"name": "emqx", "image": "emqx/emqx:5.8.9", **container}]})


def variable(name: str, value: str) -> dict[str, Any]:
    return pod(env=[{"name": name, "value": value}])


def review(before: list[dict[str, Any]], after: list[dict[str, Any]], words: str = "") -> Review:
    """A review in which `words` stand in every text that a person or a rule may have written."""
    old, new = rendering(*before), rendering(*after)
    pair = Pair(Target(Path("clusters/a"), "clusters/a"), old, new, differences(old, new))
    finding = Finding("x", "danger", "Pod/x", "spec.x", f"it was {words}, and is not", (f"kubectl annotate pod/x a={words}",))
    problem = Problem("x", "Pod/x", "spec.x", f"expected another; got {words!r}", f"replace {words}", "a.yaml:1:1")
    consent = Consent("x", "*", f"{words} is known", "--accept")
    target = TargetReview(pair, (finding,), (problem,), ((finding, consent),))
    return Review("a", "b", ("", ""), (target,), (Skipped("c", f"because of {words}"),), (consent,))


def reports(found: Review, key: bytes = KEY) -> str:
    shown = masks.shown(found, key)
    return "".join(reporter(shown, lambda _, text: text) for reporter in report.REPORTERS.values())


# Ways in which a secret is known for one by its name or by its place.
NAMED: dict[str, Callable[[str], dict[str, Any]]] = {
    "Secret": lambda secret: document("Secret", stringData={"anything": secret}),
    "Secret, encoded": lambda secret: document("Secret", data={"anything": base64.b64encode(secret.encode()).decode()}),
    "variable": lambda secret: variable("EMQX_DASHBOARD__DEFAULT_PASSWORD", secret),
    "variable of another program": lambda secret: variable("GITHUB_TOKEN", secret),
    "flag": lambda secret: pod(args=["--level", "info", "--api-token", secret]),
    "flag with its value": lambda secret: pod(args=[f"--password={json.dumps(secret)}"]),
    "command": lambda secret: pod(command=["sh", "-c", f"curl --user-password {json.dumps(secret)} http://x"]),
    "field": lambda secret: document("Thing", spec={"auth": {"clientSecret": secret, "name": "x"}}),
    "field of a list": lambda secret: document("Thing", spec={"tokens": [secret, "other"]}),
    "value of a field": lambda secret: document("Thing", spec={"password": {"value": secret}}),
    "ConfigMap": lambda secret: config(EMQX_NODE__COOKIE=secret),
    "HOCON": lambda secret: config(**{"emqx.conf": f"authentication = [\n  {{ backend = mysql, password = {json.dumps(secret)} }}\n]\n"}),
    "HOCON, in lines": lambda secret: config(**{"emqx.conf": f'dashboard {{\n  default_password = """{secret}"""\n}}\n'}),
    "4.x": lambda secret: config(**{"emqx.conf": f"mqtt.max_clientid_len = 100\nnode.cookie = {secret}\n"}),
    "vm.args": lambda secret: config(**{"vm.args": f"-name emqx@x\n-setcookie {json.dumps(secret)}\n"}),
    "JSON": lambda secret: config(**{"x.json": json.dumps({"a": {"api_key": secret}})}),
    "JSON in JSON": lambda secret: config(**{"x.json": json.dumps({"a": json.dumps({"token": secret})})}),
    "YAML": lambda secret: config(**{"x.yaml": yaml.safe_dump({"users": [{"name": "x", "password": secret}]}, width=1000)}),
    "YAML, a block": lambda secret: config(**{"x.yaml": f"level: info\nprivateKey: |\n  {secret}\n  {secret}\nmode: fast\n"}),
    "last applied": lambda secret: {**config(a="b"), "metadata": {"name": "x", "annotations": {masks._LAST_APPLIED: json.dumps({"a": secret})}}},
}
# Ways in which it is known by its looks.
SEEN: dict[str, Callable[[str], dict[str, Any]]] = {
    "variable": lambda secret: variable("X", secret),
    "text": lambda secret: config(**{"x.txt": f"a line\nand {secret} in it\n"}),
    "argument": lambda secret: pod(args=["--header", f"X-Auth: {secret}"]),
    "annotation": lambda secret: {**config(a="b"), "metadata": {"name": "x", "annotations": {"a/b": secret}}},
    "field": lambda secret: document("Thing", spec={"x": [{"y": secret}]}),
}
FORMS: dict[str, Callable[[str], str]] = {
    "URL": lambda secret: f"mysql://user:{secret}@host:3306/db?x=1",
    "bearer": lambda secret: f"Authorization: Bearer {secret}",
    "private key": lambda secret: f"-----BEGIN RSA PRIVATE KEY-----\n{secret}\n-----END RSA PRIVATE KEY-----\n",
    "JWT": lambda secret: f"eyJhbGciOiJIUzI1NiJ9.{secret}.{secret}",
    "query": lambda secret: f"http://x/y?level=1&access_key={secret}&z=1",
}


def assert_hidden(make: Callable[[str], dict[str, Any]], secret: str, other: str, *, in_words: bool = True) -> None:
    """Neither of two values is in any report, and that they differ is."""
    said = reports(review([make(secret)], [make(other)], secret if in_words else ""))
    for value in (secret, other):
        encoded = base64.b64encode(value.encode()).decode()
        assert [line for line in said.splitlines() if value in line or encoded in line] == []
    assert len(set(MASK.findall(said))) >= 2
    assert "nothing changes" not in said


def random_text(seed: int, alphabet: str, length: int) -> str:
    found = random.Random(seed)
    return "".join(found.choice(ALPHABETS[alphabet]) for _ in range(length))


@pytest.mark.parametrize("place", NAMED)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), length=st.integers(9, 40))
def test_by_name(place: str, seed: int, length: int) -> None:
    """Whatever it looks like: a word of letters too."""
    found = random.Random(seed)
    secret, other = ("".join(found.choice(string.ascii_lowercase) for _ in range(length)) for _ in range(2))
    assert_hidden(NAMED[place], secret, other, in_words=place != "last applied")


@pytest.mark.parametrize("place", NAMED)
@pytest.mark.parametrize("secret", ["Tr0ub4dor&3", "correct horse battery", "p@ss:w/rd#1?", "admin", "äöü-secret", "a'b\"c\\d", "12345678", "x" * 200])
def test_by_name_however_it_is_written(place: str, secret: str) -> None:
    quotes = place in ("YAML, a block", "4.x", "HOCON, in lines") and "\\" in secret
    text = "nowhere" if quotes else secret
    said = reports(review([NAMED[place](text)], [NAMED[place](f"{text}2")]))
    written = {text, json.dumps(text)[1:-1], json.dumps(json.dumps(text)[1:-1])[1:-1]}
    assert [line for line in said.splitlines() if any(word in line for word in written) and "admin" not in written] == []
    assert MASK.search(said)


@pytest.mark.parametrize("place", SEEN)
@pytest.mark.parametrize("alphabet", ALPHABETS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_by_looks(place: str, alphabet: str, seed: int) -> None:
    """32 random characters and more; one in some hundreds looks like words."""
    secret, other = (random_text(seed + number, alphabet, 40) for number in range(2))
    if all(looks.spans(text) == [(0, 40)] for text in (secret, other)):
        assert_hidden(SEEN[place], secret, other)


@pytest.mark.parametrize(("alphabet", "missed"), [("hex", 0), ("base62", 0.001), ("base64", 0.005), ("urlsafe", 0.005)])
def test_how_often_looks_deceive(alphabet: str, missed: float) -> None:
    texts = [random_text(seed, alphabet, 40) for seed in range(4_000)]
    assert sum(looks.spans(f"x {text} y") != [(2, 42)] for text in texts) <= missed * len(texts)


@pytest.mark.parametrize("place", SEEN)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", ["Hunter2Hunter", "ordinarywords"])
def test_by_form(place: str, form: str, secret: str) -> None:
    assert_hidden(lambda text: SEEN[place](FORMS[form](text)), secret, f"{secret}2", in_words=form != "JWT")


def test_what_is_secret_in_one_place_is_so_in_all() -> None:
    """An argument without a name, a sentence: nobody could tell by themselves; whatever comes first."""
    secret = document("Secret", stringData={"x": "monday-mornings"})
    old, new = pod(args=["monday-mornings", "x=monday-mornings/y"]), pod(args=["friday-evenings"])
    new_object = {**document("Pod", "another"), "spec": {"hostname": "monday-mornings"}}
    for before, after in (([old, secret], [new_object, new, secret]), ([secret, old], [secret, new, new_object])):
        said = reports(review(before, after, "the password monday-mornings"))
        assert "monday-mornings" not in said
        assert "friday-evenings" in said


# What may be seen


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMQX_NAME", "emqx"),
        ("EMQX_HOST", "$(POD_NAME).$(DISCOVERY_SERVICE).$(POD_NAMESPACE).svc.cluster.local"),
        ("EMQX_DASHBOARD__DEFAULT_PASSWORD", "$(DASHBOARD_PASSWORD)"),
        ("EMQX_AUTHENTICATION__1__MECHANISM", "password_based"),
        ("EMQX_AUTHENTICATION__1__PASSWORD_HASH_ALGORITHM__NAME", "bcrypt"),
        ("EMQX_API_KEY__BOOTSTRAP_FILE", "/opt/emqx/etc/api-keys/bootstrap"),
        ("EMQX_DASHBOARD__TOKEN_EXPIRED_TIME", "60m"),
        ("EMQX_LISTENERS__SSL__DEFAULT__SSL_OPTIONS__CACERTFILE", "/opt/emqx/etc/certs-of-the-organisation/ca.crt"),
        ("X", "requiredDuringSchedulingIgnoredDuringExecution"),
        ("X", "registry.example.com/platform/emqx-enterprise:5.8.9-build.7"),
        ("X", "emqx-env-6ct58987ht"),
        ("X", "ConfigMap/emqx-env-6ct58987ht"),
        ("X", "2026-01-31T12:00:00Z"),
        ("X", "http://user@example.com:8080/path?level=1"),
        ("image", "emqx/emqx@sha256:2f0b3a4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708"),
        ("X", "emqx/emqx@sha256:2f0b3a4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708"),
        ("image", "registry.example.com/emqx:3f1c9a7be2d45f0c3f1c9a7be2d45f0c3f1c9a7b"),
    ],
)
def test_what_is_no_secret_is_shown(name: str, value: str) -> None:
    said = reports(review([pod()], [pod(image=value) if name == "image" else variable(name, value)]))
    assert not MASK.search(said)
    assert value in said


def test_our_own_overlays_hold_none() -> None:
    for golden in sorted((Path(__file__).parents[1] / "overlays" / "goldens").rglob("*.yaml")):
        for resource in from_text("x", Read(()), golden.read_text()).resources:
            masked = masks._Masker(KEY)._resource(resource)
            assert masked.data == resource.data, golden


def test_references_to_secrets_are_shown() -> None:
    source = {"valueFrom": {"secretKeyRef": {"name": "emqx-cookie", "key": "cookie"}}}
    volume = {"name": "x", "secret": {"secretName": "emqx-tls", "items": [{"key": "tls.key", "path": "tls.key"}]}}
    after = pod(env=[{"name": "EMQX_NODE__COOKIE", **source}], envFrom=[{"secretRef": {"name": "emqx-more"}}])
    after["spec"] |= {"volumes": [volume], "imagePullSecrets": [{"name": "registry"}], "automountServiceAccountToken": False}
    assert not MASK.search(reports(review([pod()], [after])))


# Digests


def test_the_same_value_has_the_same_mask_with_the_same_key_only() -> None:
    found = review([variable("A_TOKEN", "one"), config(b_token="one")], [variable("A_TOKEN", "two"), config(b_token="two")])
    first, again, other = reports(found), reports(found), reports(found, b"another key")
    assert first == again
    assert len(set(MASK.findall(first))) == 2
    assert not set(MASK.findall(first)) & set(MASK.findall(other))


def test_a_key_from_a_file_or_another_each_time(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"k" * 32 + b"\n")
    assert masks.key(file) == b"k" * 32
    assert masks.key(None) != masks.key(None)
    assert len(masks.key(None)) == 32


def test_long_texts_take_no_long_time() -> None:
    """Whoever opens a pull request must not be able to stop its check."""
    for part in ("a", "password", '"', "://:", "a=b ", "-", "password: |\n", "x.y-", "token=[", '\\"', "://a:b", "-----BEGIN A-----"):
        started, text = time.process_time(), part * (60_000 // len(part))
        looks.spans(text)
        looks.spans(text, prose=True)
        assert time.process_time() - started < 5, part
