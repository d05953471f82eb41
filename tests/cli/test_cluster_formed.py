"""The key of the check that the members found each other, and its Job in the published tree."""

from __future__ import annotations

import re

import pytest
import yaml

from emqx_gitops.published import entries, outlived, vanished
from emqx_gitops.resources import read

from .conftest import Repo

# As the members read a line of the file, from 5.0.14 to 6.3: neither part has a colon, and a shell or a log needs no quotes.
LINE = re.compile(r"cluster-formed:(?=.*\d)[A-Za-z][A-Za-z0-9]{47}")


def cluster(repo: Repo, tag: str, spec: str = "{}") -> str:
    """A cluster's folder with the check."""
    text = "namespace: mqtt\nnamePrefix: eu-\nresources: [../../overlays/persistent]\ncomponents: [../../base/cluster-formed]\n"
    image = f"images: [{{name: emqx/emqx, newTag: {tag}}}]\n"
    patch = f"patches: [{{target: {{kind: EmqxCluster}}, patch: '{{kind: EmqxCluster, metadata: {{name: emqx}}, spec: {spec}}}'}}]\n"
    repo.write("clusters/one/kustomization.yaml", f"{text}{image}{patch}transformers: [../../plugins/inject]\n")
    return "clusters/one"


def test_key_is_printed_with_the_other_secrets(repo: Repo) -> None:
    ran = repo.run("secrets", cluster(repo, "5.8.9"))
    assert (ran.code, ran.err) == (0, "")
    made = list(yaml.safe_load_all(ran.out))
    assert [secret["metadata"]["name"] for secret in made] == ["eu-emqx-cookie", "eu-emqx-dashboard", "eu-emqx-api-key"]
    assert (made[2]["immutable"], list(made[2]["stringData"])) == (True, ["api-key"])
    assert LINE.fullmatch(made[2]["stringData"]["api-key"])
    assert made[2]["metadata"]["labels"]["emqx-gitops.dev/cluster"] == "eu-emqx"


def test_key_under_another_name(repo: Repo) -> None:
    ran = repo.run("secrets", cluster(repo, "5.8.9", "{dashboard: {apiKey: {secretKeyRef: {name: keys, key: file}}}}"), "--only", "keys")
    (made,) = yaml.safe_load_all(ran.out)
    assert LINE.fullmatch(made["stringData"]["file"])


@pytest.mark.parametrize("tag", ["4.4.19", "5.0.9"])
def test_older_releases_need_no_secret_more(repo: Repo, tag: str) -> None:
    made = yaml.safe_load_all(repo.run("secrets", cluster(repo, tag)).out)
    assert [list(secret["stringData"]) for secret in made] == [["cookie"], ["password"]]


JOB = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {}\n  namespace: mqtt\n"


def test_next_job_takes_the_place_of_the_last_in_the_published_tree() -> None:
    """Nobody removed an object, and nothing runs that would still need the old Job."""
    old, new = (entries(read(JOB.format(f"emqx-cluster-formed-{suffix}"), "x")) for suffix in ("g46dtgk8bh", "7thh8m469g"))
    assert vanished(old, new) == []
    assert outlived(old, new, "abc") == []
    assert [lineage.label for lineage in vanished(old, [])] == ["Job/mqtt/emqx-cluster-formed"]
