"""Renderings -> report: inventory, schemas of several Kubernetes minors, and the policy of the function."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from emqx_fn.problem import Problem, Refusal
from emqx_gitops import inventory, project, resources, writer
from emqx_gitops.errors import UsageFailure
from emqx_gitops.kubeconform import Kubeconform
from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.resources import Resource
from emqx_gitops.sources import Read

_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Result:
    """What became of one target."""

    name: str
    objects: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Report:
    """A whole run, as every output format shows it."""

    versions: tuple[str, ...]
    results: tuple[Result, ...]

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong."""
        return not any(result.problems for result in self.results)


def sort_inputs(paths: list[str]) -> tuple[list[Target], list[Rendering]]:
    """What is to be rendered, and what was rendered before: a folder of plain YAML, a file, or `-`."""
    targets, streams = [], []
    for path in dict.fromkeys(paths):
        if path == "-":
            streams.append(_stream("stdin", ((Path("stdin"), _standard_input()),)))
        elif _is_rendered(Path(path)):
            streams += [_stream(part.as_posix(), _texts(part)) for part in writer.parts(Path(path))]
        else:
            targets.append(project.target(path))
    return targets, streams


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageFailure(f"stdin: expected UTF-8 text; {error}", "pipe a rendering: kustomize build … | emqx-gitops …") from None


def _is_rendered(path: Path) -> bool:
    if path.is_file():
        return path.name not in project.KUSTOMIZATION_NAMES
    return path.is_dir() and project.kustomization_file(path) is None and bool(_files(path))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = (file for file in path.rglob("*") if file.suffix in _YAML and file.is_file())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts))


def _texts(path: Path) -> tuple[tuple[Path, str], ...]:
    try:
        return tuple((file, file.read_text(encoding="utf-8")) for file in _files(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFailure(f"{path}: expected readable UTF-8 text; {error}", "name another file") from None


def _stream(name: str, texts: tuple[tuple[Path, str], ...]) -> Rendering:
    return from_text(name, Read(texts), "---\n".join(text if text.endswith("\n") else text + "\n" for _, text in texts))


def validate(renderings: list[Rendering], kubeconform: Kubeconform, jobs: int) -> Report:
    """The report on renderings; one that is refused already is checked no further."""
    whole = [rendering for rendering in renderings if not rendering.problems]
    by_schema = dict(zip((id(rendering) for rendering in whole), kubeconform.validate(whole, jobs) if whole else [], strict=True))
    results = tuple(_result(rendering, by_schema.get(id(rendering), [])) for rendering in renderings)
    return Report(tuple(catalog.version for catalog in kubeconform.catalogs), results)


def _result(rendering: Rendering, by_schema: list[Problem]) -> Result:
    if rendering.problems:
        return Result(rendering.name, len(rendering.resources), rendering.problems)
    found = [*inventory.check(rendering.resources), *by_schema, *_policy(rendering)]
    return Result(rendering.name, len(rendering.resources), rendering.located(dict.fromkeys(found)))


def _policy(rendering: Rendering) -> list[Problem]:
    from emqx_fn.policy import check

    # Without a cluster the inventory has said so already.
    return check(rendering.text) if any(resource.is_emqx for resource in rendering.resources) else []


def crd_resources(start: Path) -> tuple[Resource, ...]:
    """The CustomResourceDefinitions in the folder crds/ of the repository."""
    folder = (project.find_root(start) or start) / "crds"
    try:
        return tuple(
            resource for file in (_files(folder) if folder.is_dir() else []) for resource in resources.read(file.read_text(encoding="utf-8"), str(file))
        )
    except Refusal as refusal:
        problem = refusal.problems[0]
        raise UsageFailure(f"crds/: {problem.where}: {problem.message}", problem.fix) from None
