"""What `new` writes builds, and builds what was asked for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Repo

OVERLAYS = ["persistent", "statefulset-hostname", "deployment-ip"]


def rendered(repo: Repo, folder: str) -> dict[tuple[str, str], dict[str, Any]]:
    ran = repo.run("render", folder)
    assert (ran.code, ran.err) == (0, "")
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(ran.out)}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_smallest_cluster_is_valid(repo: Repo, overlay: str) -> None:
    assert repo.run("new", "clusters/prod", "--from", overlay).code == 0
    ran = repo.run("validate", "clusters/prod", "--kubernetes-version", "1.29,1.37")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "clusters/prod: 11 objects, valid for Kubernetes 1.29, 1.37\n"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_option_arrives(repo: Repo, overlay: str) -> None:
    image = "registry.example.com:5000/emqx/emqx-enterprise:5.10.1"
    options = ["--namespace", "messaging", "--name-prefix", "eu-", "--replicas", "5", "--image", image, "--license-secret", "emqx-license:key"]
    assert repo.run("new", "clusters/eu/prod", "--from", overlay, *options).code == 0
    found = rendered(repo, "clusters/eu/prod")
    workload = found["Deployment" if overlay == "deployment-ip" else "StatefulSet", "eu-emqx"]
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    licence = next(entry for entry in container["env"] if entry["name"] == "EMQX_LICENSE__KEY")
    assert (workload["spec"]["replicas"], container["image"]) == (5, image)
    assert licence["valueFrom"] == {"secretKeyRef": {"name": "emqx-license", "key": "key"}}
    assert {item["metadata"].get("namespace") for key, item in found.items() if key[0] != "Namespace"} == {"messaging"}
    labels = found["Namespace", "messaging"]["metadata"]["labels"]
    assert labels == {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def test_a_digest_goes_with_the_tag(repo: Repo) -> None:
    image = f"emqx/emqx:5.8.9@sha256:{'0' * 64}"
    assert repo.run("new", "clusters/prod", "--image", image).code == 0
    workload = rendered(repo, "clusters/prod")["StatefulSet", "emqx"]
    assert workload["spec"]["template"]["spec"]["containers"][0]["image"] == image


def test_a_line_in_its_settings_file_reaches_the_pods(repo: Repo) -> None:
    assert repo.run("new", "clusters/prod").code == 0
    before = {name for kind, name in rendered(repo, "clusters/prod") if kind == "ConfigMap"}
    settings = repo.path / "clusters" / "prod" / "emqx.env"
    settings.write_text(settings.read_text() + "EMQX_MQTT__MAX_PACKET_SIZE=2MB\n")
    after = {name: item for (kind, name), item in rendered(repo, "clusters/prod").items() if kind == "ConfigMap"}
    assert len(before) == len(after) == 1
    assert before.isdisjoint(after)
    assert next(iter(after.values()))["data"] == {"EMQX_MQTT__MAX_PACKET_SIZE": "2MB"}


def test_its_namespace_may_be_a_word_of_yaml(repo: Repo) -> None:
    assert repo.run("new", "clusters/prod", "--namespace", "on").code == 0
    assert ("Namespace", "on") in rendered(repo, "clusters/prod")


def test_from_another_repository_by_git_url(repo: Repo, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    for part in ("base", "overlays", "plugins/inject"):
        shutil.copytree(ROOT / part, origin / part)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"], ["tag", "v0.1.0"]):
        subprocess.run(["git", *identity, *command], cwd=origin, env=repo.env, check=True)
    users = tmp_path / "users"
    users.mkdir()
    made = repo.run("new", "clusters/prod", "--repository", f"file://{origin}", "--ref", "v0.1.0", cwd=users)
    assert (made.code, made.out) == (0, "")
    ran = repo.run("validate", "clusters/prod", "--kubernetes-version", "1.37", cwd=users)
    assert (ran.code, ran.out, ran.err) == (0, "clusters/prod: 11 objects, valid for Kubernetes 1.37\n", "")


def test_a_second_time_is_refused_and_changes_nothing(repo: Repo) -> None:
    assert repo.run("new", "clusters/prod").code == 0
    file = repo.path / "clusters" / "prod" / "kustomization.yaml"
    file.write_text(file.read_text() + "# mine\n")
    ran = repo.run("new", "clusters/prod", "--from", "deployment-ip")
    assert (ran.code, ran.out) == (2, "")
    assert file.read_text().endswith("# mine\n")
