"""The one owner of the kubeconform process: renderings against several Kubernetes minors, offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from emqx_fn.api_versions import removed
from emqx_fn.problem import Problem
from emqx_gitops import crds, installation, process, schemas
from emqx_gitops.errors import ToolFailure
from emqx_gitops.rendering import Rendering
from emqx_gitops.resources import Resource
from emqx_gitops.schemas import Catalog

_CAUSE = re.compile(r"- at '([^']*)': (.*?)(?=\s+- at '|$)", re.DOTALL)
# A cause that only says that one of the causes below it holds.
_COMPOSED = re.compile(r"validation failed|'\w+' failed.*")
_TYPE = re.compile(r"expected (?P<types>[a-z]+(?: or [a-z]+)*); got (?P<got>[a-z]+)")
_FINE = ("statusValid", "statusSkipped")
# Groups of Kubernetes itself whose names have a dot: https://kubernetes.io/docs/reference/kubernetes-api/. Others are of a CustomResourceDefinition.
_BUILT_IN = frozenset(
    f"{name}.k8s.io"
    for name in (
        *("admissionregistration", "apiextensions", "apiregistration", "authentication", "authorization", "certificates", "coordination", "discovery"),
        *("events", "flowcontrol.apiserver", "internal.apiserver", "networking", "node", "rbac.authorization", "resource", "scheduling", "storage"),
        "storagemigration",
    )
)


@dataclass(frozen=True)
class Verdict:
    """A problem of one rendering (by position), and the minors that have it."""

    rendering: int
    problem: Problem
    version: str


@dataclass(frozen=True)
class Kubeconform:
    """A kubeconform binary, the schemas of the minors to check, and what else there is to know about kinds."""

    binary: str
    catalogs: tuple[Catalog, ...]
    skip_kinds: tuple[str, ...]
    crd_resources: tuple[Resource, ...]  # from the folder crds/ of the repository

    def validate(self, renderings: list[Rendering], jobs: int) -> list[list[Problem]]:
        """The problems of each rendering, in the renderings' order."""
        with tempfile.TemporaryDirectory(prefix="emqx-gitops-") as name:
            scratch = Path(name)
            files = [scratch / f"{index}.yaml" for index in range(len(renderings))]
            for file, rendering in zip(files, renderings, strict=True):
                file.write_text(rendering.text, encoding="utf-8")
            custom = self._custom(renderings, scratch / "custom")
            run = partial(self._one_version, renderings, files, scratch / "custom", custom)
            verdicts = [verdict for found in process.parallel(run, self.catalogs, jobs) for verdict in found]
        return [_merged([verdict for verdict in verdicts if verdict.rendering == index]) for index in range(len(renderings))]

    def _custom(self, renderings: list[Rendering], folder: Path) -> set[tuple[str, str]]:
        """Write the schemas of CRDs in the renderings and in crds/; the kinds that they describe."""
        found = crds.schemas([*self.crd_resources, *(resource for rendering in renderings for resource in rendering.resources)])
        folder.mkdir()
        for (kind, api_version), schema in found.items():
            (folder / schemas.file_name(kind, api_version)).write_text(json.dumps(schema), encoding="utf-8")
        return set(found)

    def _one_version(
        self, renderings: list[Rendering], files: list[Path], custom_folder: Path, custom: set[tuple[str, str]], catalog: Catalog
    ) -> list[Verdict]:
        unknown = self._unknown(renderings, catalog, custom)
        skipped = sorted({*self.skip_kinds, *(f"{api}/{kind}" for kind, api in unknown)})
        rows = self._run(catalog, files, custom_folder, skipped)
        verdicts = [
            Verdict(index, _unknown_kind(resource), catalog.version)
            for index, rendering in enumerate(renderings)
            for resource in rendering.resources
            if (resource.key.kind, resource.api_version) in unknown and not rendering.is_set_by(resource)
        ]
        for index, (rendering, file) in enumerate(zip(renderings, files, strict=True)):
            mine = [row for row in rows if row["filename"] == str(file) and row["kind"]]
            _require_all(rendering, len(mine), catalog.version)
            verdicts += [Verdict(index, problem, catalog.version) for pair in _in_order(mine, rendering) for problem in _problems(*pair)]
        return verdicts

    def _unknown(self, renderings: list[Rendering], catalog: Catalog, custom: set[tuple[str, str]]) -> set[tuple[str, str]]:
        kinds = {(resource.key.kind, resource.api_version) for rendering in renderings for resource in rendering.resources}
        wanted = (pair for pair in sorted(kinds - custom) if pair[0] not in self.skip_kinds)
        return {pair for pair in wanted if not catalog.prepare(*pair)}

    def _run(self, catalog: Catalog, files: list[Path], custom: Path, skipped: list[str]) -> list[dict[str, Any]]:
        command = [self.binary, "-strict", "-verbose", "-output", "json", "-kubernetes-version", f"{catalog.version}.0"]
        command += ["-schema-location", f"{catalog.folder}/{schemas.TEMPLATE}", "-schema-location", f"{custom}/{schemas.TEMPLATE}"]
        command += ["-skip", ",".join(skipped)] if skipped else []
        done = process.run([*command, *map(str, files)])
        try:
            rows = json.loads(done.stdout)["resources"]
        except (ValueError, KeyError):
            said = (done.stderr or done.stdout).strip()[:500]
            raise ToolFailure(f"{self.binary}: expected a JSON report; got exit {done.code}: {said}", "run `emqx-gitops doctor`") from None
        return rows or []


def find(explicit: str | None) -> str:
    """The binary asked for, else the clone's pinned one, else the one on PATH."""
    explicit = explicit or None  # an empty variable asks for nothing
    root = installation.clone_root()
    pinned = root / ".tools" / "bin" / "kubeconform" if root else None
    if explicit is None and pinned and os.access(pinned, os.X_OK):
        return str(pinned)
    found = shutil.which(explicit or "kubeconform")
    if found:
        return os.path.abspath(found)
    if explicit:
        raise ToolFailure(f"{explicit}: expected a kubeconform binary; there is none", "correct --kubeconform (or $KUBECONFORM), or leave it out")
    fix = "run `make` in the clone, install kubeconform, or name it with --kubeconform"
    raise ToolFailure("kubeconform: expected it in .tools/bin of the clone or on PATH; there is none", fix)


def _require_all(rendering: Rendering, validated: int, version: str) -> None:
    """kubeconform exits 0 on input that it read nothing of."""
    if validated != len(rendering.resources):
        message = f"{rendering.name}: expected kubeconform to report {len(rendering.resources)} objects for Kubernetes {version}; it reported {validated}"
        raise ToolFailure(message, "please report this with the rendering: nothing was validated for sure")


def _in_order(rows: list[dict[str, Any]], rendering: Rendering) -> Iterator[tuple[dict[str, Any], Any]]:
    """Rows with the data of their resources. kubeconform reports in the order in which its threads end; ours is the same every time."""
    by_identity: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        by_identity.setdefault((row["kind"], row["version"], row["name"]), []).append(row)
    for resource in rendering.resources:
        # Two of one name in two namespaces: kubeconform does not say which row is whose, the problems are the same.
        for row in by_identity.pop((resource.key.kind, resource.api_version, resource.key.name), []):
            yield row, resource.data
    for row in (row for left in by_identity.values() for row in left):
        yield row, {}  # without a name of its own


def _problems(row: dict[str, Any], data: Any) -> list[Problem]:
    if row["status"] in _FINE:
        return []
    label = f"{row['kind']}/{row['name']}"
    causes = [(path, text.strip()) for path, text in _CAUSE.findall(row["msg"])]
    leaves = [(path, text) for path, text in causes if not _COMPOSED.fullmatch(text)] or [("", " ".join(row["msg"].split()))]
    found = {(".".join(filter(None, [_path(path, data), field])), message) for path, text in leaves for field, message in _described(text)}
    fix = "correct the field; `kubectl explain` shows what is allowed there"
    return [Problem("schema", label, path, message, fix) for path, message in sorted(_alternatives(found))]


def _alternatives(found: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Types that are alternatives, such as integer or string, in one message."""
    types: dict[tuple[str, str], list[str]] = {}
    for path, message in found:
        match = _TYPE.fullmatch(message)
        if match:
            types.setdefault((path, match["got"]), []).append(match["types"])
        else:
            yield path, message
    yield from ((path, f"expected {' or '.join(sorted(wanted))}; got {got}") for (path, got), wanted in types.items())


def _described(text: str) -> list[tuple[str, str]]:
    """kubeconform's cause as messages of ours, each with the step that it adds to the path."""
    extra = re.fullmatch(r"additional propert(?:y|ies) (.+) not allowed", text)
    if extra:
        return [(name if re.fullmatch(r"[\w-]+", name) else "", f"expected a known field; got {name!r}") for name in re.findall(r"'([^']*)'", extra[1])]
    missing = re.fullmatch(r"missing propert(?:y|ies) (.+)", text)
    if missing:
        return [("", f"expected the field {name}; it is missing") for name in re.findall(r"'([^']*)'", missing[1])]
    got = re.fullmatch(r"got (\S+), want (.+)", text)
    return [("", f"expected {_types(got[2])}; got {got[1]}" if got else text)]


def _types(text: str) -> str:
    # `null` is how the schemas say that a field may be left out: nobody should write it.
    return " or ".join(word for word in re.split(r" or |, ", text) if word != "null")


def _path(pointer: str, data: Any) -> str:
    """A JSON pointer as a field path; an entry of a list by its name, as its number is another in a patch."""
    result = ""
    for part in pointer.split("/")[1:]:
        step = part.replace("~1", "/").replace("~0", "~")
        data = _enter(data, step)
        if step.isdigit() and isinstance(data, dict) and isinstance(data.get("name"), str):
            step = data["name"]
            result += f"[{step}]"
        else:
            result += f"[{step}]" if step.isdigit() or not re.fullmatch(r"[\w-]+", step) else f".{step}"
    return result.removeprefix(".")


def _enter(data: Any, step: str) -> Any:
    if isinstance(data, list) and step.isdigit() and int(step) < len(data):
        return data[int(step)]
    return data.get(step) if isinstance(data, dict) else None


def _unknown_kind(resource: Resource) -> Problem:
    kind = resource.key.kind
    gone = removed(resource.api_version, kind)
    if gone:
        message = f"expected an API version that is served; Kubernetes has no {resource.api_version} {kind} since {gone.since}"
        return Problem("unknown-kind", resource.label, "apiVersion", message, gone.fix)
    if resource.is_settings:
        message = f"expected no {kind} in what goes to a cluster: it is for the plugin, and no API server knows it"
        return Problem("unknown-kind", resource.label, "kind", message, 'annotate it with config.kubernetes.io/local-config: "true"')
    message = f"expected a kind with a schema; neither Kubernetes nor a CustomResourceDefinition describes {resource.api_version} {kind}"
    if "." in resource.key.group and resource.key.group not in _BUILT_IN:
        fix = f"put its CustomResourceDefinition into crds/, or say --skip-kind {kind}"
        return Problem("unchecked-kind", resource.label, "kind", message, fix, severity="warning")
    return Problem("unknown-kind", resource.label, "kind", message, f"correct kind and apiVersion, or say --skip-kind {kind}")


def _merged(verdicts: list[Verdict]) -> list[Problem]:
    """Each problem once, with the minors that have it."""
    versions: dict[Problem, list[str]] = {}
    for verdict in verdicts:
        seen = versions.setdefault(verdict.problem, [])
        if verdict.version not in seen:
            seen.append(verdict.version)
    return [problem._replace(message=f"{problem.message} (Kubernetes {spread(found)})") for problem, found in versions.items()]


def spread(versions: list[str]) -> str:
    """Minors for a reader: 1.29 to 1.37, or each by name."""
    minors = [int(version.partition(".")[2]) for version in versions]
    if len(minors) > 2 and minors == list(range(minors[0], minors[-1] + 1)):
        return f"{versions[0]} to {versions[-1]}"
    return ", ".join(versions)
