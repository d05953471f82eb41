"""Whatever holds a secret, by its key or by its looks: nothing that the command line says repeats it, in no form of output.

All of it goes through the program itself: files in, every reporter's text out.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from emqx_fn import keytable, policy
from emqx_fn.problem import Refusal, render
from emqx_fn.run import inject
from emqx_fn.values import is_secret
from emqx_fn.wire import load, read_stream
from emqx_gitops import cli, report

from .harness import ROOT

SECRET = "Hunter2Hunter"
BARE = (SECRET, f'"{SECRET}"', f"[{SECRET}]", f"{SECRET}&\\", f"{SECRET} {SECRET}")  # secret by their keys only
TELLING = (
    f"http://u:{SECRET}@auth/x",
    f"http://u:{SECRET}/{SECRET}@auth/x",
    f"{{default_password: {SECRET}}}",
    f"{{default_password: {SECRET}, zork: 1",
    f'[{{backend: mysql, password: "{SECRET}"}}]',
    f"Bearer {SECRET}",
    f"a=b;AccountKey={SECRET}",
    f"ghp_{SECRET}{SECRET}",
)
RELEASES = ("4.1.5", "4.4.19", "5.0.26", "5.8.9", "6.2.0")
NO_FILES = (
    f"node.cookie {SECRET}",
    f"password:{SECRET}",
    SECRET,
    f"node.cookie = {SECRET} {{",
    f'node.cookie = "{SECRET}',
    f"node {{ cookie = [{SECRET} }}",
    f"node.cookie = a\n{SECRET}",
    f"node.cookie = ${{{SECRET}",
    f"node.cookie = {SECRET}]",
)


class Said(NamedTuple):
    """What one run said: by the name of each reporter, and on stderr."""

    reports: dict[str, str]
    talk: str

    def leaks(self) -> list[str]:
        lines = [f"{name}: {line}" for name, text in (*self.reports.items(), ("stderr", self.talk)) for line in text.splitlines()]
        return [line for line in lines if SECRET in line or "Traceback" in line]

    def rules(self) -> dict[str, set[str]]:
        """The rules that each file breaks, by its name."""
        targets = json.loads(self.reports["json"])["targets"]
        return {Path(row["name"]).name: {found["rule"] for kind in ("problems", "warnings", "waived") for found in row[kind]} for row in targets}


Run = Callable[[dict[str, str]], Said]
Explain = Callable[[str, str], str]


@pytest.fixture(name="program")
def fixture_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command line here; what it said on both streams."""

    def program(*args: str) -> str:
        monkeypatch.setattr(sys, "argv", ["emqx-gitops", *args])
        with contextlib.suppress(SystemExit):
            cli.main()
        streams = capsys.readouterr()
        return streams.out + streams.err

    return program


@pytest.fixture(name="validate")
def fixture_validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Callable[..., str]) -> Run:
    """Writes streams into files and validates them, with every reporter at once."""
    reports: dict[str, str] = {}
    reporters = dict(report.REPORTERS)

    def every(found: report.Report, paint: report.Paint) -> str:
        reports.update({name: reporter(found, paint) for name, reporter in reporters.items()})
        return ""

    def run(streams: dict[str, str]) -> Said:
        monkeypatch.setitem(report.REPORTERS, "text", every)
        for name, text in streams.items():
            (tmp_path / name).write_text(text)
        talk = program("validate", "--kubernetes-version", "1.33", *(str(tmp_path / name) for name in streams))
        return Said(dict(reports), talk)

    return run


# -- every key


def paths(release: str) -> dict[str, bool]:
    """Every path of a release, objects too, with names filled in; whether its key says that it is a secret."""
    found: dict[str, bool] = {}
    for line in keytable.table(release.rpartition(".")[0]).lines:
        pattern, kind, _ = f"{line}\t".split("\t")[:3]
        path = keytable.fill(pattern, []).replace("$index", "1").replace("$name", "default")
        segments = path.split(".")
        found |= {".".join(segments[:count]): False for count in range(1, len(segments)) if ".".join(segments[:count]) not in found}
        found[path] = is_secret(path, kind.partition("=")[0]) or found.get(path, False)
    return found


def names(release: str, value: str) -> list[str]:
    """The paths that may not show a value: a sample, for the sake of time."""
    return [path for path, secret in paths(release).items() if secret or value in TELLING][::100]


WAIVER = """\
---
apiVersion: emqx-gitops.dev/v1alpha1
kind: EmqxPolicy
metadata: {name: check}
spec: {allow: [{rule: inline-secret, reason: without it the next rule is the one that speaks}]}
"""


def stream(release: str, env: dict[str, str], text: str = "") -> str:
    variables = [{"name": name, "value": value} for name, value in {"EMQX_NAME": "broker", **env}.items()]
    mount = {"name": "files", "mountPath": "/opt/emqx/etc/emqx.conf", "subPath": "emqx.conf"}
    container = {"name": "emqx", "image": f"emqx/emqx:{release}", "env": variables, "volumeMounts": [mount]}
    pod = {"containers": [container], "volumes": [{"name": "files", "configMap": {"name": "files"}}]}
    labels = {"app": "broker"}
    spec = {"replicas": 1, "serviceName": "broker", "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    workload = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "broker", "namespace": "iot"}, "spec": spec}
    files = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files", "namespace": "iot"}, "data": {"emqx.conf": text}}
    return yaml.safe_dump_all([workload, files], sort_keys=False)


def of_variables(release: str, value: str) -> str:
    env = {keytable.variable(path): value for path in names(release, value)}
    # Names that no release reads, that one did, and that another product does.
    return stream(release, env | {"EMQX_ADMIN_PASSWORD": value, "EMQX_DASHBOARD__DEFAULT_PASWORD_": value if value in TELLING else "", "MYSQL_PASSWORD": value})


def of_settings_and_variables(release: str, value: str) -> str:
    chosen = [path for path in names(release, value) if "." in path]
    written = value if release < "5" else json.dumps(value)
    other = {keytable.variable(path): value.replace("Hunter2H", "Hunter3Hunter2H") for path in chosen}
    return stream(release, other, "\n".join(f"{path} = {written}" for path in chosen))


@pytest.mark.parametrize("waiver", ["", WAIVER], ids=["", "waived"])
@pytest.mark.parametrize("release", RELEASES)
def test_of_keys(release: str, waiver: str, validate: Run) -> None:
    texts = [make(release, value) for make in (of_variables, of_settings_and_variables) for value in (*BARE, *TELLING)]
    said = validate({f"{number}.yaml": text + waiver for number, text in enumerate(texts)})
    assert said.leaks() == []
    assert [name for name, rules in said.rules().items() if not rules] == []


@pytest.mark.parametrize("release", RELEASES)
def test_of_files_that_are_none(release: str, validate: Run) -> None:
    said = validate({f"{number}.yaml": stream(release, {}, text) for number, text in enumerate(NO_FILES)})
    assert said.leaks() == []
    assert "config-syntax" in set().union(*said.rules().values())


# -- every other way into a message


def by_hand(container: str, more: str = "", members: int = 1) -> str:
    """A workload as somebody else writes it, with more fields of its container."""
    return f"""\
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: emqx, namespace: iot}}
spec:
  replicas: {members}
  serviceName: emqx
  selector: {{matchLabels: {{app: emqx}}}}
  template:
    metadata: {{labels: {{app: emqx}}}}
    spec:
      containers:
      - name: emqx
        image: emqx/emqx:5.8.9
        {container}
---
apiVersion: v1
kind: Service
metadata: {{name: emqx, namespace: iot}}
spec: {{clusterIP: None, publishNotReadyAddresses: true, selector: {{app: emqx}}, ports: [{{name: mqtt, port: 1883}}]}}
{more}"""


def env(*pairs: tuple[str, str], members: int = 1) -> str:
    return by_hand("env: " + json.dumps([{"name": name, "value": value} for name, value in pairs]), members=members)


def rendered(*changes: tuple[str, str]) -> str:
    """What the plugin made, and what a layer above it changed since."""
    text = (ROOT / "tests" / "overlays" / "goldens" / "persistent.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


COOKIE = """\
        - name: EMQX_NODE__COOKIE
          valueFrom:
            secretKeyRef:
              key: cookie
              name: emqx-cookie
"""
COOKIE_IN_CLEAR = f"        - name: EMQX_NODE__COOKIE\n          value: {SECRET}\n"
CONFIG_MAP = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: s, namespace: iot}\n"
SITUATIONS: dict[str, tuple[str, str]] = {
    # The rule that speaks, and the stream.
    "env-is-text": ("invalid-value", by_hand(f"env: EMQX_NODE__COOKIE={SECRET}")),
    "env-is-a-mapping": ("invalid-value", by_hand(f"env: {{EMQX_NODE__COOKIE: {SECRET}}}")),
    "entry-is-text": ("invalid-value", by_hand(f"env: [EMQX_NODE__COOKIE={SECRET}]")),
    "value-is-a-list": ("invalid-value", by_hand(f"env: [{{name: EMQX_NODE__COOKIE, value: [{SECRET}]}}]")),
    "value-from-text": ("invalid-value", by_hand(f"env: [{{name: EMQX_NODE__COOKIE, valueFrom: {SECRET}}}]")),
    "key-ref-is-text": ("invalid-value", by_hand(f"env: [{{name: EMQX_NODE__COOKIE, valueFrom: {{secretKeyRef: {SECRET}}}}}]")),
    "env-from-text": ("invalid-value", by_hand(f"envFrom: {SECRET}")),
    "data-is-text": ("invalid-value", by_hand("envFrom: [{configMapRef: {name: s}}]", f"{CONFIG_MAP}data: cookie={SECRET}\n")),
    "no-such-field": ("schema", by_hand(f"env: [{{name: EMQX_NODE__COOKIE, vale: {SECRET}}}]")),
    "not-yaml": ("not-yaml", by_hand(f'env: [{{name: EMQX_NODE__COOKIE, value: "{SECRET}}}]')),
    "key-twice": ("not-yaml", by_hand(f"env: [{{name: EMQX_NODE__COOKIE, value: {SECRET}, value: {SECRET}2}}]")),
    "unknown-alias": ("not-yaml", by_hand(f"env: [{{name: EMQX_NODE__COOKIE, value: *{SECRET}}}]")),
    "not-kubernetes": ("not-kubernetes", by_hand("args: []", f"---\npassword: {SECRET}\n")),
    "not-base64": (
        "secret-in-build",
        by_hand("envFrom: [{secretRef: {name: s}}]", f"{CONFIG_MAP.replace('ConfigMap', 'Secret')}data: {{cookie: '{SECRET}!'}}\n"),
    ),
    "twice-with-two-values": ("duplicate-setting", env(("EMQX_NODE__COOKIE", SECRET), ("EMQX_NODE_COOKIE", f"{SECRET}2"))),
    "of-another-family": ("other-family", env(("EMQX_DASHBOARD__DEFAULT_USER__PASSWORD", SECRET), ("EMQX_LOG__LEVEL", f"ghp_{SECRET}{SECRET}"))),
    "no-such-strategy": ("invalid-value", env(("EMQX_CLUSTER__DISCOVERY_STRATEGY", f"http://u:{SECRET}@x"))),
    "no-bind": ("variable-value", env(("EMQX_MQTT__MAX_PACKET_SIZE", f"glpat-{SECRET}{SECRET}"))),
    "no-node-name": ("node-name", env(("EMQX_NAME", f"ghp_{SECRET}{SECRET}{SECRET}@x"))),
    "api-server": (
        "will-not-cluster",
        env(
            ("EMQX_CLUSTER__DISCOVERY_STRATEGY", "k8s"),
            ("EMQX_CLUSTER__K8S__SERVICE_NAME", "emqx"),
            ("EMQX_CLUSTER__K8S__NAMESPACE", "iot"),
            ("EMQX_CLUSTER__K8S__APISERVER", f"http://kubernetes.default:{SECRET}@x"),
            members=3,
        ),
    ),
    "cookie-of-its-own": ("inline-secret", rendered((COOKIE, COOKIE_IN_CLEAR))),
    "stale": (
        "stale",
        rendered((COOKIE, COOKIE_IN_CLEAR), ("        - name: EMQX_NAME\n          value: emqx\n", "")),
    ),
    "stale-image": ("stale", rendered((COOKIE, COOKIE_IN_CLEAR), ("emqx:5.8.9", "emqx:5.8.8"))),
    "contradicts": ("will-not-cluster", rendered(("value: svc.cluster.local", f"value: http://u:{SECRET}@svc.other"))),
}


def test_of_other_mistakes(validate: Run) -> None:
    streams = {f"{name}{ending}.yaml": text + waiver for name, (_, text) in SITUATIONS.items() for ending, waiver in (("", ""), ("-waived", WAIVER))}
    said = validate(streams)
    assert said.leaks() == []
    rules = {name.removesuffix("-waived.yaml"): found for name, found in said.rules().items() if "-waived" in name}
    assert {name: rules[name] for name, (rule, _) in SITUATIONS.items() if rule not in rules[name]} == {}


@pytest.mark.parametrize("name", SITUATIONS)
def test_of_what_explain_says(name: str, tmp_path: Path, program: Callable[..., str]) -> None:
    file = tmp_path / "stream.yaml"
    for waiver in ("", WAIVER):
        file.write_text(SITUATIONS[name][1] + waiver)
        for output in ("text", "json"):
            said = program("explain", str(file), "--output", output)
            assert said
            assert SECRET not in said
            assert "Traceback" not in said


SETTINGS = """\
apiVersion: emqx-gitops.dev/v1alpha1
kind: EmqxCluster
metadata: {name: emqx, annotations: {config.kubernetes.io/local-config: "true"}}
spec: %s
---
"""
ALLOW = "{policy: {allow: [{rule: inline-secret, reason: none}]}}"


@pytest.mark.parametrize(
    ("rule", "spec", "container"),
    [
        ("inline-secret", "{}", f"env: [{{name: EMQX_NODE__COOKIE, value: {SECRET}}}]"),
        ("contradiction", ALLOW, f"env: [{{name: EMQX_NODE__COOKIE, value: {SECRET}}}, {{name: EMQX_HOST, value: x}}]"),
        ("contradiction", ALLOW, f"env: [{{name: EMQX_NODE_NAME, value: 'http://u:{SECRET}@x'}}]"),
        ("contradiction", ALLOW, f"env: [{{name: EMQX_HOST, value: 'ghp_{SECRET}{SECRET}'}}]"),
        ("invalid-value", "{}", f"env: EMQX_NODE__COOKIE={SECRET}"),
        ("invalid-value", f"{{node: {{cookie: {SECRET}}}}}", "args: []"),
        ("invalid-value", f"{{dashboard: {{password: {SECRET}}}}}", "args: []"),
        ("invalid-value", f"{{license: {SECRET}}}", "args: []"),
        ("invalid-value", f"{{listeners: {SECRET}}}", "args: []"),
        ("invalid-value", f"{{policy: {{allow: {SECRET}}}}}", "args: []"),
    ],
)
def test_of_what_a_render_says(rule: str, spec: str, container: str) -> None:
    text = SETTINGS % spec + by_hand(container)
    with pytest.raises(Refusal) as refusal:
        inject(read_stream(text).documents, load("apiVersion: emqx-gitops.dev/v1alpha1\nkind: EmqxCluster\nmetadata: {name: inject}\n", "config"))
    said = render(refusal.value.problems)
    assert SECRET not in said
    assert f"[{rule}]" in said


@pytest.mark.parametrize(
    "patches",
    [
        # kustomize quotes what it cannot read.
        f'patches: [{{target: {{kind: StatefulSet}}, patch: "- op: add\\n path: /spec\\n   value: {SECRET}"}}]',
        f"configMapGenerator: [{{name: shared, literals: [{SECRET}]}}]",
    ],
)
def test_of_what_kustomize_says(patches: str, tmp_path: Path, program: Callable[..., str]) -> None:
    (tmp_path / "kustomization.yaml").write_text(f"resources: [workload.yaml]\n{patches}\n")
    (tmp_path / "workload.yaml").write_text(by_hand("args: []"))
    said = program("validate", "--kubernetes-version", "1.33", str(tmp_path))
    assert "[kustomize]" in said
    assert SECRET not in said


@pytest.mark.parametrize("value", [SECRET, *TELLING])
def test_of_a_stale_entry(value: str) -> None:
    assert SECRET not in policy._brief({"name": "EMQX_NODE__COOKIE", "value": value})
    assert SECRET not in policy._brief({"name": "emqx", "image": "emqx", "env": [{"name": "EMQX_NODE__COOKIE", "value": value}]})
    assert value == SECRET or SECRET not in policy._brief({"name": "ANY", "value": value})
