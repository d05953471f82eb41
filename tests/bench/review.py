"""`make bench` too: one changed cluster among a thousand, against the same change in a repository that has no other.

The plugin, kustomize and Python's start cost the same in both. What the others add is looked at, not rendered.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import HEADINGS, ROOT, Program, compare, show

PARTS = ("base", "overlays", "plugins")
CLUSTERS = 1_000
GOAL = 2.0
KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: emqx-{number}
resources:
  - ../../overlays/persistent
configMapGenerator:
  - name: emqx-env
    namespace: emqx
    behavior: merge
    envs:
      - emqx.env
transformers:
  - ../../plugins/inject
"""


def repository(folder: Path, clusters: int) -> Path:
    """A repository with so many clusters; on the branch `topic`, the first has a setting more."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for number in range(clusters):
        cluster = folder / f"clusters/c{number:04}"
        cluster.mkdir(parents=True)
        (cluster / "kustomization.yaml").write_text(KUSTOMIZATION.format(number=number))
        (cluster / "emqx.env").write_text("EMQX_MQTT__MAX_TOPIC_LEVELS=10\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    git(folder, "checkout", "--quiet", "-b", "topic")
    (folder / "clusters/c0000/emqx.env").write_text("EMQX_MQTT__MAX_TOPIC_LEVELS=20\n")
    commit(folder)
    return folder


def git(folder: Path, *args: str) -> None:
    """Run git there, as nobody in particular."""
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.com", *args], cwd=folder, check=True)


def commit(folder: Path) -> None:
    """Commit all that is there."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "Change")


def review(folder: Path) -> Program:
    """The review of the one change."""
    code = f"import os, sys; os.chdir({str(folder)!r}); from emqx_gitops.cli import main; sys.argv[1:] = ['diff', 'main...topic', '--no-gate']; main()"
    return Program(f"diff among {folder.name}", (sys.executable, "-c", code))


def main(rounds: int = 10) -> int:
    """Measure, print, and answer whether the goal is met."""
    with tempfile.TemporaryDirectory() as work:
        many, one = (repository(Path(work, str(count)), count) for count in (CLUSTERS, 1))
        ratio = compare(f"one of {CLUSTERS:,} clusters", review(many), review(one), rounds)
    show([HEADINGS, ratio.row()])
    found = ratio.of(lambda run: run.seconds)
    print(f"one of {CLUSTERS:,} ÷ the only one: {found:.2f}, goal {GOAL}: {'met' if found <= GOAL else 'missed'}")
    return 0 if found <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(3 if "--quick" in sys.argv else 10))
