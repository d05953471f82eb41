"""Renderings -> a tree of plain files, published as a branch or as an OCI artifact. At every moment the old tree is there or the new one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from emqx_fn.graph import mapping
from emqx_fn.problem import Problem
from emqx_gitops import artifact, branch, git, inventory, layers, published, validate, waivers
from emqx_gitops.branch import SHORT
from emqx_gitops.destination import Destination, Source
from emqx_gitops.errors import Problems, UsageFailure
from emqx_gitops.git import Git
from emqx_gitops.project import Target
from emqx_gitops.published import INDEX, README, Entry, Index, Lineage, Refused
from emqx_gitops.rendering import Rendering
from emqx_gitops.resources import Resource
from emqx_gitops.terminal import counted

# Editors and desktops leave these beside what they open; no kustomization names them.
_LITTER = re.compile(r"\.DS_Store|.*~|.*\.sw[op]|__pycache__")


@dataclass(frozen=True)
class Place:
    """Where the renderings come from, where they go, and the index of what is there."""

    git: Git
    targets: tuple[Target, ...]
    source: Source
    destination: Destination
    index: Index


def prepare(targets: list[Target], remote: str, name: str, oci: str | None = None) -> Place:
    """Look at the source and fetch what is published: the branch `name`, or the artifact `oci`.

    Refuses what cannot be told by a commit, and a commit older than the published one.
    """
    repository = git.around(targets[0].path)
    _check_names(targets)
    address = artifact.parse(oci) if oci is not None else None
    if not address:
        branch.check(repository, name)
    source = _source(repository, targets)
    destination = artifact.find(repository, remote, address) if address else branch.find(repository, remote, name)
    index = _index(destination) if destination.tip else {}
    _check_age(repository, source, destination)
    return Place(repository, tuple(targets), source, destination, index)


def _check_age(repository: Git, source: Source, destination: Destination) -> None:
    before = destination.published
    if before and before != source.commit and repository.has(before) and repository.is_ancestor(source.commit, before):
        expected = f"expected a commit that is not older than {before[:SHORT]}, which is published"
        fix = "publish the newest commit; to go back, revert in a new one"
        raise Refused(f"{destination.name}: {expected}; got {source.commit[:SHORT]}", fix)


def _check_names(targets: list[Target]) -> None:
    names = Counter(target.name for target in targets)
    for target in targets:
        if names[target.name] > 1:
            raise UsageFailure(f"{target.path}: expected folders with different names; another is {target.name} too", "publish them into two places")


def _source(repository: Git, targets: list[Target]) -> Source:
    for target in targets:
        if not target.path.resolve().is_relative_to(repository.top):
            raise UsageFailure(f"{target.path}: expected a folder of the repository {repository.top}; it is outside", "publish each repository by itself")
    if repository.run("rev-parse", "--is-shallow-repository").strip() == "true":
        message = "expected the whole history, to tell what was removed on purpose; the clone is shallow"
        raise UsageFailure(message, "run `git fetch --unshallow`; in a workflow, give actions/checkout `fetch-depth: 0`")
    head = repository.try_run("log", "-1", "--format=%H%n%s%n%cd", "--date=raw", "HEAD")
    if head.code:
        raise UsageFailure(f"expected a commit to publish; {git.words(head)}", "commit first")
    unknown = list(_uncommitted(repository, targets))
    if unknown:
        listed = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        message = f"expected a clean work tree, so that the commit tells what is published; not committed: {listed}"
        raise UsageFailure(message, "commit, stash or remove them")
    commit, subject, date = head.stdout.splitlines()
    return Source(commit, subject, f"@{date}")


def _uncommitted(repository: Git, targets: list[Target]) -> Iterator[str]:
    """Files that differ from the commit, and those below folders that are built which it does not have, ignored ones too."""
    folders = {folder.resolve() for target in targets for folder in (target.path, *(layer.folder for layer in layers.walk(target.path)))}
    listed = repository.run("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignored=matching")
    for entry in filter(None, listed.split("\0")):
        path = repository.top / entry[3:]
        known = entry[:2] not in ("??", "!!")
        if known or (any(_nested(path, folder) for folder in folders) and not _LITTER.fullmatch(path.name)):
            yield entry[3:]


def _nested(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def _index(destination: Destination) -> Index:
    try:
        found = published.parse(destination.text(INDEX))
    except (KeyError, ValueError):
        message = f"{destination.name}: expected what `emqx-gitops publish` wrote; its {INDEX} is missing or of another form"
        raise UsageFailure(message, f"name another {destination.option}") from None
    # What somebody deleted by hand is not there to be kept, nor to vanish.
    return {folder: [entry for entry in entries if _path(folder, entry) in destination.files] for folder, entries in found.items()}


def required(renderings: list[Rendering]) -> list[Rendering]:
    """The renderings, or all that the rules and the inventory say against them, as one failure."""
    problems = [problem for rendering in renderings for problem in _problems(rendering)]
    if problems:
        raise Problems(list(dict.fromkeys(problems)))
    return renderings


def _problems(rendering: Rendering) -> tuple[Problem, ...]:
    review = waivers.judge(validate.by_rules(rendering), rendering, "").review
    secrets = (problem for resource in rendering.resources for problem in _secret(resource))
    return rendering.located(dict.fromkeys([*inventory.check(rendering.resources), *review.problems, *secrets]))


def _secret(resource: Resource) -> Iterator[Problem]:
    """A Secret whose values everybody who reads the branch could read; sops leaves `sops:` beside values that it encrypted."""
    if resource.key.kind != "Secret" or resource.key.group:
        return
    sealed = bool(mapping(resource.data, "sops"))
    for field in ("data", "stringData"):
        values = mapping(resource.data, field).values()
        if values and not (sealed and all(str(value).startswith("ENC[") for value in values)):
            message = "expected no Secret with values in what is published, or one encrypted by sops; it holds values that can be read"
            yield Problem("secret-in-build", resource.label, field, message, "make the Secret in the cluster, or encrypt it with sops")


def publish(place: Place, renderings: list[Rendering], removals: list[str], *, whole: bool, dry_run: bool) -> str:
    """Replace what is published by these renderings, if they differ; what to tell the person.

    A `whole` publish is of all that there is: published folders that are not among the renderings are gone. Else they stay.
    """
    there = place.destination
    index = _next(place, renderings, whole)
    _check_folders(index)
    _check_removals(place, index, removals)
    if _source(place.git, list(place.targets)) != place.source:
        raise Refused(f"expected the commit {place.source.commit[:SHORT]} throughout; another was checked out meanwhile", "run it again")
    files = _files(place, renderings, index, write=not dry_run)
    if files == there.files:
        return f"{there.name}: nothing changed since {there.tip}, rendered from {there.published[:SHORT]}\n"
    told = _told(place, index, files)
    if dry_run:
        return f"{told}{there.name}: nothing was written: --dry-run\n"
    return f"{told}{there.name}: {there.replace(files, place.source)}\n"


def _next(place: Place, renderings: list[Rendering], whole: bool) -> Index:
    index: Index = {} if whole else dict(place.index)
    for rendering in renderings:
        new = published.entries(rendering.resources)
        kept = published.outlived(place.index.get(rendering.name, []), new, place.source.commit)
        index[rendering.name] = published.renamed([*new, *kept])
    return index


def _path(folder: str, entry: Entry) -> str:
    return f"{folder}/{entry.file}"


def _check_folders(index: Index) -> None:
    for name in index:
        for parent in (folder.as_posix() for folder in Path(name).parents):
            if parent in index:
                message = f"{name}: expected folders beside each other; {parent} is published too, and whoever syncs that may read both"
                raise UsageFailure(message, "name the folders to publish, without the one that contains the others")


def _check_removals(place: Place, index: Index, removals: list[str]) -> None:
    """Refuse that an object goes which nobody said would go: by --removes, or by a trailer of a commit since its folder was last published."""
    refused: list[str] = []
    count = 0
    for folder, old in place.index.items():
        missing = published.vanished(old, index.get(folder, []))
        words = {*removals, *_trailers(place, folder)} if missing else set()
        left = [] if folder not in index and folder in words else [lineage for lineage in missing if not published.allowed(lineage, words)]
        count += len(left)
        refused += _named(folder, left, whole=folder not in index and left == missing)
    if refused:
        expected = "expected every object that is published to be there, or to be removed on purpose"
        message = f"{place.destination.name}: {expected}; {counted(count, 'object')} would vanish:"
        fix = "put back what was lost; what goes on purpose, name like that in the last paragraph of a commit (`Removes: …`), or by --removes"
        raise Refused("\n    ".join([message, *refused]), fix)


def _named(folder: str, lineages: list[Lineage], *, whole: bool) -> list[str]:
    if whole and lineages:
        return [f"{folder} ({counted(len(lineages), 'object')}, the whole folder)"]
    return [f"{lineage.label} (of {folder})" for lineage in lineages]


def _trailers(place: Place, folder: str) -> list[str]:
    since = place.destination.since(folder)
    if not since or not place.git.has(since):
        return []
    said = place.git.run("log", "--format=%(trailers:key=Removes,valueonly,unfold)", f"{since}..{place.source.commit}")
    return [line.strip() for line in said.splitlines() if line.strip()]


def _files(place: Place, renderings: list[Rendering], index: Index, *, write: bool) -> dict[str, str]:
    """The new tree, as the destination has it; what was not rendered now comes from the old one."""
    texts = {INDEX: published.dump(index), README: published.README_TEXT}
    files: dict[str, str] = {}
    rendered = {(rendering.name, resource.key): resource.text for rendering in renderings for resource in rendering.resources}
    for folder, found in index.items():
        before = {entry.key: place.destination.kept(_path(folder, entry)) for entry in place.index.get(folder, [])}
        for entry in found:
            if (folder, entry.key) in rendered:
                texts[_path(folder, entry)] = rendered[folder, entry.key]
            else:
                files[_path(folder, entry)] = before[entry.key]
    return files | place.destination.made(texts, write=write)


def _told(place: Place, index: Index, files: Mapping[str, str]) -> str:
    changes = list(published.changes(place.destination.files, files))
    counts = Counter(how for how, _ in changes)
    entries = [entry for found in index.values() for entry in found]
    earlier = sum(bool(entry.superseded_in) for entry in entries)
    kept = f" and {earlier} superseded for pods that still name them" if earlier else ""
    how = ", ".join(f"{counts[word]} {word}" for word in ("added", "changed", "removed"))
    lines = "".join(f"{word:8}{path}\n" for word, path in changes)
    source = place.source.commit[:SHORT]
    return f"{lines}{place.destination.name}: {counted(len(entries) - earlier, 'object')}{kept} from {source}: {how}\n"
