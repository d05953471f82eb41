"""The script of the Job, run for real by the shells and clients that the images of the families have."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from .members import FAMILIES, PATHS, Cluster, Member, formed, nodes, serving

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / ".tools" / "cluster" / "bin"
JOB = yaml.safe_load((ROOT / "base" / "cluster-formed" / "job.yaml").read_text())
(CONTAINER,) = JOB["spec"]["template"]["spec"]["containers"]
KEY = "cluster-formed:s3cret"
TOOLS = ("awk", "base64", "bash", "cat", "date", "grep", "sed", "sort", "timeout", "tr")
# What `sh` is in an image, and whether it has curl: 5.8.5 and newer, 5.0 to 5.8.4, and 4.x, where most tools are busybox too.
IMAGES = {"debian": ("dash", True), "debian-without-curl": ("dash", False), "alpine": ("busybox", True)}
# A function, since the shell of busybox asks its own sleep before those on PATH.
SHORT_SLEEP = f"sleep() {{ {shutil.which('sleep')} 0.1; }}\n"
SECONDS = 30.0


@dataclass(frozen=True)
class Image:
    """A folder of programs in place of an image, and what they were called with."""

    programs: Path

    @property
    def calls(self) -> str:
        return (self.programs.parent / "calls").read_text()

    def resolves_to(self, addresses: list[str]) -> None:
        """Let DNS answer with these."""
        answers = "".join(f"{address}  {kind} formed\n" for address in addresses for kind in ("STREAM", "DGRAM"))
        (self.programs.parent / "addresses").write_text(answers)

    def start(self, cluster: Cluster, patience: str = "1", **env: str) -> subprocess.Popen[str]:
        """The container of the Job, with what the plugin adds to it."""
        given = {
            "PATH": str(self.programs),
            "SERVICE": "formed",
            "PATIENCE": patience,
            "MEMBERS": "3",
            "PORT": str(cluster.port),
            "API_PATH": PATHS[cluster.family],
            **(env or {"API_KEY": KEY}),
        }
        shell, *flags = CONTAINER["command"]
        (script,) = CONTAINER["args"]
        command = [self.programs / shell, *flags, f"{SHORT_SLEEP}{script}"]
        return subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, cluster: Cluster, **env: str) -> tuple[int, str]:
        """Exit code and output."""
        self.resolves_to(list(cluster.members))
        with self.start(cluster, **env) as process:
            try:
                out, _ = process.communicate(timeout=SECONDS)
            finally:
                process.kill()
        return process.returncode, out


def image_of(folder: Path, name: str) -> Image:
    shell, has_curl = IMAGES[name]
    found = shutil.which(shell, path=f"{os.environ['PATH']}{os.pathsep}{PROGRAMS}") or pytest.skip(f"no {shell} on PATH")
    programs = folder / "bin"
    programs.mkdir()
    programs.joinpath("sh").symlink_to(found)
    for tool in TOOLS:
        programs.joinpath(tool).symlink_to(found if shell == "busybox" else shutil.which(tool) or pytest.fail(f"no {tool}"))
    real = {"getent": f'[ "$1 $2" = "ahosts formed" ] && {shutil.which("cat")} {folder}/addresses'}
    recorded = {"curl": shutil.which("curl")} if has_curl else {"bash": shutil.which("bash"), "timeout": shutil.which("timeout")}
    for tool, program in recorded.items():
        programs.joinpath(tool).unlink(missing_ok=True)
        real[tool] = f'echo "{tool} $*" >>{folder}/calls; exec {program} "$@"'
    for tool, text in real.items():
        programs.joinpath(tool).write_text(f"#!/bin/sh\n{text}\n")
        programs.joinpath(tool).chmod(0o755)
    return Image(programs)


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Image:
    return image_of(tmp_path, request.param)


@pytest.fixture
def debian(tmp_path: Path) -> Image:
    return image_of(tmp_path, "debian")


@pytest.mark.parametrize("family", FAMILIES)
def test_three_members_of_three(image: Image, family: str) -> None:
    with serving(formed(), family) as cluster:
        code, out = image.run(cluster)
    names = " ".join(nodes(0, 1, 2))
    assert out.splitlines() == [*(f"127.0.0.{number} lists 3 of 3 as running: {names}" for number in (1, 2, 3)), "formed: 3 of 3"]
    assert (code, cluster.asked) == (0, {"127.0.0.1", "127.0.0.2", "127.0.0.3"})


@pytest.mark.parametrize("family", FAMILIES)
def test_members_of_the_past_do_not_count(image: Image, family: str) -> None:
    """A Deployment's former members are listed as stopped until they are forgotten."""
    members = [Member(nodes(0, 1, 2), stopped=nodes(7, 8, 9)) for _ in range(3)]
    with serving(members, family) as cluster:
        assert image.run(cluster)[0] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_clusters_of_one(image: Image, family: str) -> None:
    with serving([Member(nodes(number)) for number in range(3)], family) as cluster:
        code, out = image.run(cluster)
    assert code == 1
    assert out.splitlines() == [
        *(f"127.0.0.{number + 1} lists 1 of 3 as running: {nodes(number)[0]}" for number in range(3)),
        "not formed: all 3 members answer, and after 1 s they are not one cluster of 3",
    ]


NOT_FORMED = {
    "one member alone": [Member(nodes(0, 1)), Member(nodes(0, 1)), Member(nodes(2))],
    "one member stopped": [Member(nodes(0, 1), stopped=nodes(2)) for _ in range(3)],
    "others of the same number": [Member(nodes(0, 1, 2)), Member(nodes(0, 1, 2)), Member(nodes(2, 3, 4))],
    "too many": [Member(nodes(0, 1, 2, 3)) for _ in range(3)],
    "nobody": [Member([]) for _ in range(3)],
}


@pytest.mark.parametrize("how", NOT_FORMED)
def test_what_is_no_cluster_of_three(debian: Image, how: str) -> None:
    with serving(NOT_FORMED[how]) as cluster:
        assert debian.run(cluster)[0] == 1


def test_wrong_key(image: Image) -> None:
    with serving(formed()) as cluster:
        code, out = image.run(cluster, API_KEY="cluster-formed:wr0ng")
    assert code == 1
    assert "127.0.0.1 refuses the API key, or the question: HTTP status 401\n" in out
    assert "wr0ng" not in out


def test_key_is_neither_printed_nor_on_a_command_line(image: Image) -> None:
    with serving(formed()) as cluster:
        code, out = image.run(cluster)
    assert code == 0
    encoded = base64.b64encode(KEY.encode()).decode().rstrip("=")
    assert image.calls.count("127.0.0.1") >= 1
    assert [text for text in ("s3cret", encoded) if text in out + image.calls] == []


@pytest.mark.parametrize("file", [f"{KEY}\n", f"{KEY}:viewer\n", f"{KEY}\nanother:s3cr3t:administrator\n", f"{KEY}\r\n"])
def test_first_key_of_a_file(image: Image, file: str) -> None:
    with serving(formed(), key=KEY) as cluster:
        assert image.run(cluster, API_KEY=file)[0] == 0


def test_user_and_password_of_older_releases(image: Image) -> None:
    password = 'a:b"c\\d $e'
    with serving(formed(), "4", key=f"admin:{password}") as cluster:
        assert image.run(cluster, API_USER="admin", API_PASSWORD=password)[0] == 0


def test_long_key_stays_in_one_line(image: Image) -> None:
    """base64 breaks lines at 76 characters."""
    key = f"cluster-formed:{'x' * 200}"
    with serving(formed(), key=key) as cluster:
        assert image.run(cluster, API_KEY=key)[0] == 0


@pytest.fixture
def waiting(image: Image) -> Iterator[Callable[[Cluster], subprocess.Popen[str]]]:
    """Starts the script, and sees it wait longer than its patience with members that are not one cluster."""
    started: list[subprocess.Popen[str]] = []

    def wait(cluster: Cluster) -> subprocess.Popen[str]:
        started.append(image.start(cluster, patience="1"))
        with pytest.raises(subprocess.TimeoutExpired):
            started[0].wait(2.5)
        return started[0]

    yield wait
    for process in started:
        process.kill()
        process.communicate()


def test_member_that_starts_slowly(image: Image, waiting: Callable[[Cluster], subprocess.Popen[str]]) -> None:
    members = formed()
    members[2].status = None
    with serving(members) as cluster:
        image.resolves_to(list(cluster.members))
        process = waiting(cluster)
        members[2].status = 503
        time.sleep(0.5)
        members[2].status = 200
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert "127.0.0.3 does not answer: HTTP status none\n" in out
    assert "127.0.0.3 does not answer: HTTP status 503\n" in out


def test_roll_that_goes_on(image: Image, waiting: Callable[[Cluster], subprocess.Popen[str]]) -> None:
    """Members of the old template are no answer, though they still are a cluster."""
    with serving(formed()) as cluster:
        image.resolves_to([])
        process = waiting(cluster)
        image.resolves_to(list(cluster.members)[:2])
        time.sleep(0.5)
        image.resolves_to(list(cluster.members))
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert out.startswith("0 of 3 members run this pod template and are ready\n2 of 3 members")


def test_patience_begins_anew_when_a_member_is_gone(debian: Image) -> None:
    members = [Member(nodes(number)) for number in range(3)]
    with serving(members) as cluster:
        debian.resolves_to(list(cluster.members))
        process = debian.start(cluster, patience="2")
        for _ in range(4):
            time.sleep(0.8)
            members[0].status = None if members[0].status else 200
        assert process.poll() is None
        for member in members:
            member.running, member.status = nodes(0, 1, 2), 200
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_one_member(image: Image) -> None:
    with serving(formed(1)) as cluster:
        assert image.run(cluster, API_KEY=KEY, MEMBERS="1")[0] == 0


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as found:
            found.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on the loopback interface")
def test_ipv6(image: Image) -> None:
    with serving(formed(1), addresses=["::1"]) as cluster:
        code, out = image.run(cluster, API_KEY=KEY, MEMBERS="1")
    assert code == 0, out


def test_proxy_of_the_environment_is_not_asked(debian: Image) -> None:
    with serving(formed()) as cluster:
        assert debian.run(cluster, API_KEY=KEY, http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9")[0] == 0
