"""The Secrets that a rendering needs: exactly those, usable by every EMQX family, never the same twice, never in a file."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from emqx_gitops import secrets

from .conftest import Repo

PASSWORD = re.compile(r"(?=.*\d)[A-Za-z][A-Za-z0-9]{23}")
COOKIE = re.compile(r"(?=.*\d)[A-Za-z][A-Za-z0-9]{47}")
FAMILIES = ["4.1.5", "4.2.14", "4.3.22", "4.4.19", "5.0.26", "5.8.9"]


def made(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text)) if text else []


def cluster(repo: Repo, tag: str) -> str:
    folder = f"clusters/v{tag}"
    ran = repo.run("new", folder, "--image", f"emqx/emqx:{tag}", "--namespace", "mqtt", "--name-prefix", "eu-")
    assert (ran.code, ran.out) == (0, "")
    return folder


@pytest.mark.parametrize("tag", FAMILIES)
def test_cookie_and_password_of_every_family(repo: Repo, tag: str) -> None:
    ran = repo.run("secrets", cluster(repo, tag))
    assert (ran.code, ran.err) == (0, "")
    cookie, password = made(ran.out)
    labels = {"app.kubernetes.io/name": "emqx", "emqx-gitops.dev/cluster": "eu-emqx"}
    assert cookie["metadata"] == {"name": "eu-emqx-cookie", "namespace": "mqtt", "labels": labels}
    assert password["metadata"] == {"name": "eu-emqx-dashboard", "namespace": "mqtt", "labels": labels}
    for secret in (cookie, password):
        assert (secret["apiVersion"], secret["kind"], secret["type"], secret["immutable"]) == ("v1", "Secret", "Opaque", True)
    assert list(cookie["stringData"]) == ["cookie"]
    assert COOKIE.fullmatch(cookie["stringData"]["cookie"])
    assert list(password["stringData"]) == ["password"]
    assert PASSWORD.fullmatch(password["stringData"]["password"])


def test_every_secret_that_the_pods_read_is_printed(repo: Repo) -> None:
    stream = repo.run("render", "overlays/persistent").out
    referred = set(re.findall(r"secretKeyRef:\n\s+key: (\S+)\n\s+name: (\S+)", stream))
    printed = {(key, secret["metadata"]["name"]) for secret in made(repo.run("secrets", "overlays/persistent").out) for key in secret["stringData"]}
    assert printed == referred == {("cookie", "emqx-cookie"), ("password", "emqx-dashboard")}


def test_a_second_run_has_other_values(repo: Repo) -> None:
    first, second = repo.run("secrets", "overlays/persistent").out, repo.run("secrets", "overlays/persistent").out
    assert first != second
    assert [secret["metadata"] for secret in made(first)] == [secret["metadata"] for secret in made(second)]


def test_from_standard_input(repo: Repo) -> None:
    ran = repo.run("secrets", "-", stdin=repo.run("render", "overlays/persistent").out)
    assert [secret["metadata"]["name"] for secret in made(ran.out)] == ["emqx-cookie", "emqx-dashboard"]


def test_only_one_of_them(repo: Repo) -> None:
    ran = repo.run("secrets", "overlays/persistent", "--only", "emqx-dashboard")
    assert [secret["metadata"]["name"] for secret in made(ran.out)] == ["emqx-dashboard"]


def test_what_is_rendered_is_not_made_again(repo: Repo) -> None:
    rendered = repo.run("render", "overlays/persistent").out
    cookie = "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: emqx-cookie\n  namespace: emqx\n"
    ran = repo.run("secrets", "-", stdin=rendered + cookie)
    assert [secret["metadata"]["name"] for secret in made(ran.out)] == ["emqx-dashboard"]


def test_a_licence_is_asked_for_and_not_invented(repo: Repo) -> None:
    repo.run("new", "clusters/paid", "--image", "emqx/emqx-enterprise:5.10.0", "--license-secret", "emqx-license:key", "--namespace", "mqtt")
    ran = repo.run("secrets", "clusters/paid")
    assert [secret["metadata"]["name"] for secret in made(ran.out)] == ["emqx-cookie", "emqx-dashboard"]
    assert ran.err == (
        "Secret/emqx-license holds a licence, which nobody can invent; make it from your own file:\n"
        "  kubectl create secret generic emqx-license --namespace mqtt --from-file=key=license.key\n"
    )


def on_a_terminal(repo: Repo, *args: str) -> tuple[int, str, str]:
    """Run with a terminal as stdout."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(repo.command(*args), stdout=theirs, stderr=subprocess.PIPE, cwd=repo.path, env=repo.env) as running:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
        err = running.stderr.read() if running.stderr else b""
    os.close(ours)
    return running.returncode, shown.decode().replace("\r\n", "\n"), err.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says EIO when the other side is closed
        return b""


def test_a_terminal_does_not_get_to_see_them(repo: Repo) -> None:
    expected = (
        "emqx-gitops: secrets: expected a pipe; stdout is a terminal, and the values would stay in its history\n"
        "  fix: pipe it: emqx-gitops secrets overlays/persistent | kubectl create -f -    (or say --show)\n"
    )
    assert on_a_terminal(repo, "secrets", "overlays/persistent") == (2, "", expected)


def test_a_terminal_gets_to_see_them_on_demand(repo: Repo) -> None:
    code, shown, _ = on_a_terminal(repo, "secrets", "overlays/persistent", "--show")
    assert (code, len(made(shown))) == (0, 2)


def test_a_terminal_gets_colour_unless_it_is_refused(repo: Repo) -> None:
    command = ("validate", "overlays/persistent", "--kubernetes-version", "1.37")
    assert on_a_terminal(repo, *command)[1].startswith("\033[32moverlays/persistent\033[0m: ")
    repo.env["NO_COLOR"] = "1"
    assert on_a_terminal(repo, *command)[1].startswith("overlays/persistent: ")


def test_nothing_secret_is_written_to_a_file(repo: Repo) -> None:
    before = {path for path in repo.path.rglob("*") if path.is_file()}
    values = [value for secret in made(repo.run("secrets", "overlays/persistent").out) for value in secret["stringData"].values()]
    after = {path for path in repo.path.rglob("*") if path.is_file()}
    assert after == before
    home = Path(repo.env["HOME"])
    assert not any(value in path.read_text(errors="replace") for value in values for path in home.rglob("*") if path.is_file())


def test_random_text_has_letter_first_and_a_digit() -> None:
    assert all(PASSWORD.fullmatch(secrets.random_text(24)) for _ in range(2000))
