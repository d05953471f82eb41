"""Renderings -> report: inventory, schemas of several Kubernetes minors, and the policy of the function."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emqx_fn.problem import Problem, Refusal
from emqx_fn.spec import Waiver
from emqx_gitops import config_files, inventory, project, resources, waivers, writer
from emqx_gitops.errors import UsageFailure
from emqx_gitops.kubeconform import Kubeconform
from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.resources import Resource
from emqx_gitops.sources import Read

if TYPE_CHECKING:
    from emqx_fn.policy import Review

_YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Waived:
    """A problem that a waiver of the settings lets pass; `checked` says whether its `until` was held against a day."""

    problem: Problem
    waiver: Waiver
    checked: bool = False


@dataclass(frozen=True)
class Result:
    """What became of one target."""

    name: str
    objects: int
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    waived: tuple[Waived, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole run, as every output format shows it."""

    versions: tuple[str, ...]
    results: tuple[Result, ...]
    strict: bool = False

    @property
    def fine(self) -> bool:
        """Whether nothing is wrong; a strict report takes warnings for that too."""
        return not any(result.problems or (self.strict and result.warnings) for result in self.results)


def sort_inputs(paths: list[str]) -> tuple[list[Target], list[Rendering]]:
    """What is to be rendered, and what was rendered before: a folder of plain YAML, a file, or `-`."""
    targets, streams = [], []
    for path in dict.fromkeys(paths):
        if path == "-":
            streams.append(_stream("stdin", ((Path("stdin"), _standard_input()),)))
        elif _is_rendered(Path(path)):
            streams += [read(part) for part in writer.parts(Path(path))]
        else:
            targets.append(project.target(path))
    return targets, streams


def read(path: Path) -> Rendering:
    """What was rendered before: a file, or every YAML file of a folder."""
    return _stream(path.as_posix(), _texts(path))


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageFailure(f"stdin: expected UTF-8 text; {error}", "pipe a rendering: kustomize build … | emqx-gitops …") from None


def _is_rendered(path: Path) -> bool:
    if path.is_file():
        return path.name not in project.KUSTOMIZATION_NAMES
    files = _files(path) if path.is_dir() else []
    return bool(files) and not any(file.name in project.KUSTOMIZATION_NAMES for file in files)


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


def validate(renderings: list[Rendering], kubeconform: Kubeconform, jobs: int, day: str = "", *, strict: bool = False) -> Report:
    """The report on renderings; of one that is refused already only waivers are checked. Waivers hold as of `day`, else of the last commit."""
    whole = [rendering for rendering in renderings if not rendering.problems]
    by_schema = dict(zip((id(rendering) for rendering in whole), kubeconform.validate(whole, jobs) if whole else [], strict=True))
    results = tuple(_result(rendering, by_schema.get(id(rendering), []), day) for rendering in renderings)
    return Report(tuple(catalog.version for catalog in kubeconform.catalogs), results, strict)


def _result(rendering: Rendering, by_schema: list[Problem], day: str) -> Result:
    if rendering.problems:
        ended = rendering.located(waivers.ended(rendering, day))
        return Result(rendering.name, len(rendering.resources), (*rendering.problems, *ended))
    unread = config_files.unread(rendering.text)
    review, checked = waivers.judge(by_rules(rendering), rendering, day, complete=not unread)
    by_schema = _untold(by_schema, review)
    found = [*inventory.check(rendering.resources), *(problem for problem in by_schema if problem.severity == "error"), *review.problems]
    unchecked = [problem for problem in by_schema if problem.severity == "warning"]
    waived = zip(rendering.located(problem for problem, _ in review.waived), review.waived, strict=True)
    return Result(
        rendering.name,
        sum(not rendering.is_set_by(resource) for resource in rendering.resources),
        rendering.located(dict.fromkeys(found)),
        rendering.located(dict.fromkeys([*review.warnings, *unread, *unchecked])),
        tuple(Waived(problem, waiver, checked) for problem, (_, waiver) in waived),
    )


def _untold(by_schema: list[Problem], review: Review) -> list[Problem]:
    """Without the kinds that no catalog has because Kubernetes removed them, where a rule says so."""
    told = {(problem.object, problem.path) for problem in review.problems if problem.rule == "api-version"}
    return [problem for problem in by_schema if (problem.object, problem.path) not in told]


def by_rules(rendering: Rendering) -> Review:
    """What the rules say of a rendering and of the configuration files in it; nothing where it has no cluster, which the inventory says."""
    from emqx_fn.policy import Review, review

    if not any(resource.is_emqx for resource in rendering.resources):
        return Review([], [], [], [])
    return config_files.review(review(rendering.text, rendering.origin.settings("EmqxPolicy")), rendering.text)


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
