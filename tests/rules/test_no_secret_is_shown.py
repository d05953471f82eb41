"""Whatever holds a secret, by its key or by its looks: no finding repeats it, in no form of output."""

from __future__ import annotations

import json

import pytest
import yaml

from emqx_fn import keytable, policy
from emqx_fn.problem import Problem
from emqx_fn.values import is_secret
from emqx_gitops import config_files

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
)
RELEASES = ("4.1.5", "4.4.19", "5.0.26", "5.8.9", "6.2.0")


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


def said(text: str) -> list[Problem]:
    review = config_files.review(policy.review(text), text)
    return [*review.problems, *review.warnings]


def assert_hidden(problems: list[Problem]) -> None:
    """JSON and SARIF are made of the same fields."""
    assert problems
    assert [problem for problem in problems if SECRET in problem.lines() or SECRET in json.dumps(problem)] == []


@pytest.mark.parametrize("value", [*BARE, *TELLING])
@pytest.mark.parametrize("release", RELEASES)
def test_of_a_variable(release: str, value: str) -> None:
    env = {keytable.variable(path): value for path in names(release, value)}
    # Names that no release reads, that one did, and that another product does.
    env |= {"EMQX_ADMIN_PASSWORD": value, "EMQX_DASHBOARD__DEFAULT_PASWORD_": value if value in TELLING else "", "MYSQL_PASSWORD": value}
    assert_hidden(said(stream(release, env)))


@pytest.mark.parametrize("value", [*BARE, *TELLING])
@pytest.mark.parametrize("release", RELEASES)
def test_of_a_setting_and_of_both(release: str, value: str) -> None:
    chosen = [path for path in names(release, value) if "." in path]
    written = value if release < "5" else json.dumps(value)
    lines = [f"{path} = {written}" for path in chosen]
    other = {keytable.variable(path): value.replace("Hunter2H", "Hunter3Hunter2H") for path in chosen}
    assert_hidden(said(stream(release, other, "\n".join(lines))))


@pytest.mark.parametrize(
    "text",
    [
        f"node.cookie {SECRET}",
        f"password:{SECRET}",
        SECRET,
        f"node.cookie = {SECRET} {{",
        f'node.cookie = "{SECRET}',
        f"node {{ cookie = [{SECRET} }}",
        f"node.cookie = a\n{SECRET}",
        f"node.cookie = ${{{SECRET}",
        f"node.cookie = {SECRET}]",
    ],
)
@pytest.mark.parametrize("release", RELEASES)
def test_of_a_file_that_is_none(release: str, text: str) -> None:
    problems = said(stream(release, {}, text))
    assert [problem for problem in problems if SECRET in problem.lines()] == []
