"""Renderings -> one stream, or the files of an output folder."""

from __future__ import annotations

from pathlib import Path

from emqx_gitops import project, writer
from emqx_gitops.errors import UsageFailure
from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering
from emqx_gitops.terminal import counted


def stream(renderings: list[Rendering]) -> str:
    """All renderings as one YAML stream."""
    return "---\n".join(rendering.text for rendering in renderings)


def check_names(targets: list[Target], folder: Path | None) -> None:
    """Refuse two targets whose files would be the same."""
    names: dict[str, Target] = {}
    for target in targets if folder else []:
        other = names.setdefault(target.name, target)
        if other is not target:
            message = f"--output-dir: expected folders with different names; {other.path} and {target.path} are both {target.name}"
            raise UsageFailure(message, "render them one after the other, into two folders")


def write(folder: Path, renderings: list[Rendering], *, split: bool) -> str:
    """Replace `folder` by the renderings; what to tell the person."""
    parts = dict(_part(rendering, split) for rendering in renderings)
    writer.replace_folder(Path.cwd() / folder, parts)
    return "".join(_line(folder, rendering, split) for rendering in renderings)


def _part(rendering: Rendering, split: bool) -> tuple[str, dict[str, str]]:
    name = _place(rendering, split)
    if not split:
        return name, {name: rendering.text}
    names = writer.file_names(rendering.resources)
    return name, {f"{name}/{names[resource.key]}": resource.text for resource in rendering.resources}


def _place(rendering: Rendering, split: bool) -> str:
    return rendering.name if split else f"{rendering.name}.yaml"


def _line(folder: Path, rendering: Rendering, split: bool) -> str:
    return f"{rendering.name}: {counted(len(rendering.resources), 'object')} in {project.shown(folder / _place(rendering, split))}\n"
