"""The same question after kustomize's own work: prefixes, suffixes, namespaces and another family in a layer above."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from emqx_fn.policy import check

from . import broker
from .builds import MODES, OVERLAYS, PLUGINS, ROOT, Mode, documents, image, kustomization, kustomize, settings, settings_patch
from .kube import World

MEMBERS = 3
INJECT = PLUGINS / "inject"
# One release for each row of differences: variables, ports, entrypoint, licence.
FAMILIES = ("4.1.5", "4.2.14", "4.3.22", "4.4.19", "5.0.3", "5.0.26", "5.8.9", "6.3.0")

Layer = Callable[[Path, Mode, str], Path]


def cluster(folder: Path, mode: Mode, version: str) -> Path:
    """A user's own folder: the overlay, its settings and image."""
    name, tag = image(version).split(":")
    return kustomization(
        folder,
        resources=[ROOT / "overlays" / mode.overlay],
        images=[{"name": name, "newTag": tag}],
        patches=[settings_patch(settings(mode, version))],
        transformers=[INJECT],
    )


def renamed_with_plugin(folder: Path, mode: Mode, version: str) -> Path:
    below = cluster(folder / "below", mode, version)
    return kustomization(folder / "top", resources=[below], namePrefix="eu-", nameSuffix="-7", namespace="messaging", transformers=[INJECT])


def renamed_without_plugin(folder: Path, mode: Mode, version: str) -> Path:
    below = cluster(folder / "below", mode, version)
    return kustomization(folder / "top", resources=[below], namePrefix="eu-", nameSuffix="-7", namespace="messaging")


def renamed_twice(folder: Path, mode: Mode, version: str) -> Path:
    below = renamed_without_plugin(folder / "one", mode, version)
    return kustomization(folder / "top", resources=[below], namePrefix="prod-", namespace="mqtt", transformers=[INJECT])


def family_switched(folder: Path, mode: Mode, version: str) -> Path:
    """The layer below is rendered for another family, which knows every mode; this one changes the image."""
    below = cluster(folder / "below", mode, "5.8.9" if version != "5.8.9" else "4.4.19" if mode.known_to("4.4.19") else "5.7.2")
    name, tag = image(version).split(":")
    patches = [settings_patch(settings(mode, version))]
    return kustomization(folder / "top", resources=[below], namePrefix="eu-", images=[{"name": name, "newTag": tag}], patches=patches, transformers=[INJECT])


LAYERS: tuple[Layer, ...] = (renamed_with_plugin, renamed_without_plugin, renamed_twice, family_switched)
PAIRS = [(mode, version) for mode in MODES for version in FAMILIES if mode.known_to(version)]
# A Latin square: every mode and every release meets every layer, without building all combinations.
CASES = [(LAYERS[(MODES.index(mode) + FAMILIES.index(version)) % len(LAYERS)], mode, version) for mode, version in PAIRS]


def case_id(case: tuple[Layer, Mode, str]) -> str:
    return f"{case[0].__name__}-{case[1]}-{case[2]}".replace(":", "-")


@pytest.fixture(scope="module")
def renderings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[str]]]:
    """All cases, built side by side while the first are looked at."""
    home = tmp_path_factory.mktemp("layers")

    def rendering(case: tuple[Layer, Mode, str]) -> str:
        layer, mode, version = case
        return kustomize(layer(home / case_id(case), mode, version))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {case_id(case): pool.submit(rendering, case) for case in CASES}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_one_cluster_forms(case: tuple[Layer, Mode, str], renderings: dict[str, Future[str]]) -> None:
    objects = documents(renderings[case_id(case)].result())
    outcome = broker.run(objects, World(ip_family=case[1].ip_family))
    assert outcome.reasons == ()
    assert outcome.is_one_cluster_of(MEMBERS)
    assert set(outcome.discovered) == {frozenset(outcome.nodes)}


@pytest.mark.parametrize("version", FAMILIES)
def test_two_clusters_in_one_namespace_stay_two(version: str, tmp_path: Path) -> None:
    objects = []
    for prefix in ("east-", "west-"):
        below = cluster(tmp_path / prefix / "below", MODES[-2], version)
        top = kustomization(tmp_path / prefix / "top", resources=[below], namePrefix=prefix, namespace="shared")
        objects += documents(kustomize(top))
    outcome = broker.run(objects)
    assert outcome.reasons == ()
    assert sorted(len(members) for members in outcome.clusters) == [MEMBERS, MEMBERS]


@pytest.mark.parametrize("with_plugin", [True, False], ids=["plugin-above", "no-plugin-above"])
def test_two_clusters_in_one_build_stay_two(tmp_path: Path, *, with_plugin: bool) -> None:
    folders = []
    for prefix, overlay in (("east-", "persistent"), ("west-", "statefulset-hostname")):
        folders.append(kustomization(tmp_path / prefix, resources=[ROOT / "overlays" / overlay], namePrefix=prefix, namespace="shared"))
    more = {"transformers": [INJECT]} if with_plugin else {}
    outcome = broker.run(documents(kustomize(kustomization(tmp_path / "top", resources=folders, **more))))
    assert outcome.reasons == ()
    assert sorted(len(members) for members in outcome.clusters) == [MEMBERS, MEMBERS]


# -- what a layer without the plugin can break, the policy sees

STALE = {
    "licence": ({"images": [{"name": "emqx/emqx", "newTag": "6.3.0"}]}, {}),
    "family": ({"images": [{"name": "emqx/emqx", "newTag": "4.4.19"}]}, {}),
    "variable": ({}, {"op": "remove", "path": "/spec/template/spec/containers/0/env/9"}),
    "helper": ({}, {"op": "remove", "path": "/spec/template/spec/containers/0/env/3"}),
    "token": ({}, {"op": "replace", "path": "/spec/template/spec/automountServiceAccountToken", "value": False}),
    "annotation": ({}, {"op": "remove", "path": "/spec/template/metadata/annotations"}),
    "account": ({}, {"op": "remove", "path": "/spec/template/spec/serviceAccountName"}),
    "label": ({}, {"op": "replace", "path": "/spec/template/metadata/labels/app.kubernetes.io~1name", "value": "mqtt"}),
    "governing-service": ({}, {"op": "replace", "path": "/spec/serviceName", "value": "emqx"}),
    "host": ({}, {"op": "replace", "path": "/spec/template/spec/containers/0/env/5/value", "value": "$(POD_IP)"}),
    "probe": ({}, {"op": "replace", "path": "/spec/template/spec/containers/0/startupProbe/httpGet", "value": {"path": "/status", "port": 8081}}),
}


@pytest.mark.parametrize("name", STALE)
def test_what_does_not_cluster_is_refused_by_the_policy(name: str, tmp_path: Path) -> None:
    fields, operation = STALE[name]
    patches = [{"target": {"kind": "StatefulSet"}, "patch": json.dumps([operation])}] if operation else []
    final = kustomize(kustomization(tmp_path, resources=[ROOT / "overlays" / "persistent"], patches=patches, **fields))
    assert not broker.run(documents(final)).is_one_cluster_of(MEMBERS)
    assert check(final)


@pytest.mark.parametrize("kind", ["Role", "RoleBinding", "Service", "ServiceAccount"])
def test_a_build_without_an_object_that_it_needs_is_refused_by_the_policy(kind: str, tmp_path: Path) -> None:
    remove = {"target": {"kind": kind, "name": "emqx|emqx-headless"}, "patch": json.dumps({"kind": kind, "metadata": {"name": "any"}, "$patch": "delete"})}
    final = kustomize(kustomization(tmp_path, resources=[ROOT / "overlays" / "persistent"], patches=[remove]))
    assert not broker.run(documents(final)).is_one_cluster_of(MEMBERS)
    assert check(final)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_good_rendering_passes_the_policy(overlay: str) -> None:
    assert check(kustomize(ROOT / "overlays" / overlay)) == []
