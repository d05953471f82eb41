"""Golden cases of the command line, one folder each.

`case.yaml` says what is run; `repo/` holds files that lie over a copy of our own overlays (`like` names the case whose
`repo/` it is); `stdout.txt` and `stderr.txt` (absent: nothing) are what the person reads; `written/` is what the run must
leave in the folder that `writes` names. A case with `hocon: true` needs the parser that is not there for Python 3.10;
one with `hocon: false` runs as if it were not there.
`make update-goldens` writes the expectations anew; every change of one is read in review.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from emqx_gitops.config_text import can_read_hocon

from .conftest import Ran, Repo

CASES = sorted(path.parent for path in (Path(__file__).parent / "cases").rglob("case.yaml"))


def test_there_are_cases() -> None:
    assert len(CASES) > 40


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_case(folder: Path, repo: Repo, update_goldens: bool) -> None:
    case: dict[str, Any] = yaml.safe_load((folder / "case.yaml").read_text())
    if case.get("hocon") and not can_read_hocon():
        pytest.skip("no parser of HOCON for this Python")
    files = folder.parent / case.get("like", folder.name) / "repo"
    if files.is_dir():
        shutil.copytree(files, repo.path, dirs_exist_ok=True)
    ran = repo.run(*case["run"], stdin=_stdin(repo, case), cwd=repo.path / case.get("in", "."), hocon=case.get("hocon", True))
    ran = Ran(ran.code, ran.out.replace(str(repo.path), "REPO"), ran.err.replace(str(repo.path), "REPO"))
    written = repo.path / case["writes"] if "writes" in case else None
    if update_goldens:
        _update(folder, ran, written)
    assert (ran.code, ran.out, ran.err) == (case["exit"], _golden(folder / "stdout.txt"), _golden(folder / "stderr.txt"))
    if written:
        assert tree(written) == tree(folder / "written")


def _stdin(repo: Repo, case: dict[str, Any]) -> str:
    return (repo.path / case["stdin"]).read_text() if "stdin" in case else ""


def _golden(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def tree(folder: Path) -> dict[str, str]:
    """The files of a folder by name."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def _update(folder: Path, ran: Ran, written: Path | None) -> None:
    for name, text in (("stdout.txt", ran.out), ("stderr.txt", ran.err)):
        (folder / name).unlink(missing_ok=True)
        if text:
            (folder / name).write_text(text)
    shutil.rmtree(folder / "written", ignore_errors=True)
    if written and written.is_dir():
        shutil.copytree(written, folder / "written")
