"""The image without a container engine: the steps of its build stage in a folder, then what it starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SYNC = ROOT / "sync" / "argocd"
HOME = "/opt/emqx-gitops"
REAL_PYTHON = os.path.realpath(sys.executable)

# Stands for docker: `run` starts a command in the image, which is a folder here, and a mounted folder is where it was.
DOCKER = """\
#!{python}
import json, os, sys

image, arguments = json.loads({image!r}), sys.argv[1:]
place = arguments.index(image["name"])
options, command = dict(zip(arguments, arguments[1:place])), arguments[place + 1 :]
source, target, _ = options.get("--volume", "/:/:").split(":")
os.chdir(options.get("--workdir", image["workdir"]).replace(target, source, 1))
entry = [options["--entrypoint"]] if "--entrypoint" in options else image["entrypoint"]
os.execvpe(entry[0], [*entry, *command], image["env"])
"""


class Step(NamedTuple):
    """An instruction of a Dockerfile."""

    verb: str
    text: str


def stages() -> list[list[Step]]:
    """The instructions, a list for each FROM; comments and continued lines are resolved."""
    lines = (line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if line.strip() and not line.lstrip().startswith("#"))
    steps = [Step(*line.split(maxsplit=1)) for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()]
    starts = [index for index, step in enumerate(steps) if step.verb == "FROM"]
    return [steps[start:end] for start, end in zip(starts, [*starts[1:], len(steps)], strict=True)]


def texts(stage: list[Step], verb: str) -> list[str]:
    return [step.text for step in stage if step.verb == verb]


BASE, BUILD, FINAL = stages()


def context(folder: Path) -> None:
    """Copies what `COPY . .` copies: .dockerignore names it, and nothing of it is ignored by git."""
    first, *rest = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert (first, rest[-1]) == ("*", "**/__pycache__")
    for path in (line.removeprefix("!") for line in rest[:-1]):
        source, target = ROOT / path, folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)


# Says that set-up has installed what it finds in .venv, and writes what else it would write there.
INSTALLED = """\
import sys
sys.path.insert(0, "tools")
import bootstrap
step = bootstrap.python_step(bootstrap._running_interpreter(), asked=False)
bootstrap._write_entry_points()
step.stamp.write_text(step.digest)
"""


def prepared(folder: Path) -> None:
    """What takes minutes and tests/setup does for real, as this clone has it: packages, Go, and what Go builds."""
    (folder / ".tools" / "bin").mkdir(parents=True)
    for name in ("bin/kustomize", "bin/kubeconform", "go.stamp", "kustomize.stamp", "kubeconform.stamp"):
        shutil.copy2(ROOT / ".tools" / name, folder / ".tools" / name)
    (folder / ".tools" / "go").symlink_to(ROOT / ".tools" / "go")
    subprocess.run([REAL_PYTHON, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    (packages,) = (folder / ".venv" / "lib").glob("python3*/site-packages")
    for package in (ROOT / packages.relative_to(folder)).iterdir():
        if package.suffix != ".pth":
            (packages / package.name).symlink_to(package)
    subprocess.run([REAL_PYTHON, "-I", "-c", INSTALLED], cwd=folder, check=True)


@dataclass(frozen=True)
class Image:
    """The file system of the image, as far as it is ours, in a folder."""

    root: Path

    @property
    def home(self) -> str:
        return f"{self.root}{HOME}"

    def here(self, text: str) -> str:
        return text.replace(HOME, self.home)

    def env(self) -> dict[str, str]:
        """What ENV says; HOME is a folder of the test's own."""
        pairs = [pair.split("=", 1) for pair in self.here(" ".join(texts(FINAL, "ENV"))).split()]
        return {**{name: value.replace("$PATH", "/usr/bin:/bin") for name, value in pairs}, "HOME": f"{self.root}/tmp"}

    def docker(self, folder: Path) -> Path:
        entry = [self.here(part) for part in json.loads(texts(FINAL, "ENTRYPOINT")[0])]
        described = {"name": "broker", "entrypoint": entry, "env": self.env(), "workdir": texts(FINAL, "WORKDIR")[0]}
        path = folder / "docker"
        path.write_text(DOCKER.format(python=REAL_PYTHON, image=json.dumps(described)), encoding="utf-8")
        path.chmod(0o755)
        return path


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """What the steps of the build stage make."""
    with tempfile.TemporaryDirectory(prefix="emqx-gitops-image-") as root:
        made = Image(Path(root))
        (made.root / "tmp").mkdir()
        (made.root / "bin").mkdir()
        (made.root / "bin" / "python").symlink_to(REAL_PYTHON)
        for step in BUILD[1:]:
            perform(made, step)
        yield made


def perform(image: Image, step: Step) -> None:
    home = Path(image.home)
    if step.verb == "RUN":
        env = {**os.environ, "PATH": f"{image.root}/bin:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-euc", image.here(step.text)], cwd=home, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{step.text}:\n{done.stdout}{done.stderr}"
    elif step == Step("WORKDIR", HOME):
        home.mkdir(parents=True)
    else:
        assert step == Step("COPY", ". ."), step
        context(home)
        prepared(home)


def test_everything_is_pinned() -> None:
    (base,) = texts(BASE, "FROM")
    version = re.fullmatch(r"python:3\.(\d+)\.\d+-slim-\w+@sha256:[0-9a-f]{64} AS base", base)
    assert version
    assert 10 <= int(version[1]) <= 14
    assert (texts(BUILD, "FROM"), texts(FINAL, "FROM")) == (["base AS build"], ["base"])


def test_the_routes_of_argo_cd_find_what_they_name() -> None:
    """The sidecar has the same user, and its command is there; the path of the plugin is that of the native route."""
    (sidecar,) = yaml.safe_load((SYNC / "cmp" / "repo-server" / "deployment.yaml").read_text())["spec"]["template"]["spec"]["containers"]
    (server,) = yaml.safe_load((SYNC / "native" / "repo-server" / "deployment.yaml").read_text())["spec"]["template"]["spec"]["containers"]
    user = sidecar["securityContext"]["runAsUser"]
    assert texts(FINAL, "USER") == [f"{user}:{user}"]
    assert f"KUSTOMIZE_PLUGIN_HOME={server['env'][0]['value']}" in " ".join(texts(FINAL, "ENV"))
    assert sidecar["image"] in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_nothing_is_left_that_only_the_build_needs(image: Image) -> None:
    assert sorted(path.name for path in Path(image.home, ".tools").iterdir() if not path.name.endswith(".stamp")) == ["bin", "lock"]


def test_everybody_may_read_and_only_root_may_write(image: Image) -> None:
    modes = {path: path.stat().st_mode for path in Path(image.home).rglob("*") if not path.is_symlink()}
    assert [path for path, mode in modes.items() if not mode & stat.S_IROTH or mode & stat.S_IWOTH] == []
    assert [path for path, mode in modes.items() if stat.S_ISDIR(mode) and not mode & stat.S_IXOTH] == []


def test_the_function_is_compiled(image: Image) -> None:
    modules = {path.stem for path in Path(image.home, "plugins", "emqx_fn").glob("*.py")}
    assert modules == {path.name.split(".")[0] for path in Path(image.home, "plugins", "emqx_fn", "__pycache__").glob("*.pyc")}


def test_the_image_serves_both_of_its_users(image: Image, tmp_path: Path) -> None:
    image.docker(tmp_path)
    env = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([ROOT / "tests" / "image" / "check.sh", "broker"], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "EmqxCluster/broker: spec.discovery.addressType: expected one of " in done.stderr
    assert "overlays/persistent: 10 objects, valid for Kubernetes " in done.stderr


def test_the_function_gives_what_it_gives_here(image: Image, tmp_path: Path) -> None:
    given = (ROOT / "tests" / "image" / "resourcelist.yaml").read_bytes()
    there = subprocess.run([image.docker(tmp_path), "run", "broker"], input=given, capture_output=True, timeout=60, check=True).stdout
    here = subprocess.run([sys.executable, "-I", ROOT / "plugins" / "emqx_fn" / "__main__.py"], input=given, capture_output=True, timeout=60, check=True).stdout
    assert there == here != b""
