"""Programs that are not built here: from Debian's packages, unpacked and not installed.

    debian.py     writes debian.lock anew, with the versions that Debian has today

build.py uses the rest. The packages come through apt, from the sources of this machine, with folders of its own, so that the
machine's lists stay as they are. Where they cannot be had (another system, another release), a program that is installed serves.
Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builds import BuildError, beside, folder_beside

LOCK = Path(__file__).with_name("debian.lock")
MACHINE = "x86_64"
RELEASE = ("debian", "12")
OS_RELEASE = Path("/etc/os-release")

# Where systems keep what is not on everybody's PATH.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
CNI_FOLDERS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")

# Finds the libraries that a system without the package does not have either.
LAUNCHER = """\
#!/bin/sh
here=${{0%/*}}/../{folder}
FONTCONFIG_SYSROOT="$here" LD_LIBRARY_PATH="{libraries}" exec "$here/{inside}" "$@"
"""
LIBRARIES = "usr/lib/x86_64-linux-gnu"

# The loader of this system goes with no other than its own.
OWN = "libc6_*.deb"


@dataclass(frozen=True)
class Tool:
    """What some packages give: the files in them that get a name in bin/."""

    name: str
    packages: tuple[str, ...]
    provides: tuple[str, ...]
    # The folders of the libraries that are unpacked with it.
    libraries: tuple[str, ...] = ()
    # Names under which it may be installed, if Debian replaces it every week, so that no pin would hold. One that is installed spares
    # the download; else it is the newest, with all that it depends on, as Debian has signed it.
    moving: tuple[str, ...] = ()

    def folder(self, output: Path) -> Path:
        return output / "debian" / self.name

    def stamp(self, output: Path) -> Path:
        return output / "stamps" / self.name

    def paths(self, output: Path) -> list[Path]:
        return [output / "bin" / Path(inside).name for inside in self.provides]


TOOLS = (
    # The shell and the tools of Alpine, on which the images of EMQX 4 stand.
    Tool("busybox", ("busybox-static",), ("bin/busybox",)),
    Tool(
        "redis-server",
        ("redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1"),
        ("usr/bin/redis-server",),
        (LIBRARIES,),
    ),
    Tool("containerd", ("containerd",), ("usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr")),
    Tool("runc", ("runc",), ("usr/sbin/runc",)),
    # A folder: the container network plugins are found by it.
    Tool("cni", ("containernetworking-plugins",), ("usr/lib/cni",)),
    # It looks at the page that a review writes.
    Tool(
        "browser",
        ("chromium-headless-shell",),
        ("usr/lib/chromium/chromium-headless-shell",),
        (LIBRARIES, f"{LIBRARIES}/pulseaudio", "lib/x86_64-linux-gnu"),
        moving=("chromium", "google-chrome", "chromium-browser"),
    ),
    # kube-proxy writes its rules with it.
    Tool(
        "nft",
        ("nftables", "libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libxtables12", "libedit2", "libbsd0", "libmd0"),
        ("usr/sbin/nft",),
        (LIBRARIES,),
    ),
)


@dataclass(frozen=True)
class Pin:
    """One line of the lock."""

    package: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.package} {self.version} {self.sha256}"


def pins(tool: Tool) -> list[Pin]:
    """What the lock says of the tool's packages, but for one that moves."""
    if tool.moving:
        return []
    lines = [line.split() for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    known = {words[0]: Pin(*words) for words in lines}
    return [known[package] for package in tool.packages]


def digest(tool: Tool) -> str:
    text = "\n".join([*map(str, pins(tool)), *tool.provides])
    return hashlib.sha256(text.encode()).hexdigest()


def is_there(tool: Tool, output: Path) -> bool:
    stamp = tool.stamp(output)
    return stamp.exists() and stamp.read_text() == digest(tool) and all(path.exists() for path in tool.paths(output))


def provide(tools: Sequence[Tool], output: Path) -> None:
    """Puts the tools into bin/: Debian's, or else those that are installed. What is there already is left alone."""
    missing = [tool for tool in tools if not is_there(tool, output)]
    for tool in missing:
        if tool.moving and all(found(tool, output).values()):
            take_installed(tool, output, "Debian's is large and replaced every week")
    missing = [tool for tool in missing if not is_there(tool, output)]
    if not missing:
        return
    try:
        with packages_of_debian() as archive:
            for tool in missing:
                take(tool, output, archive)
    except BuildError as error:
        # Which one it was is no matter: without Debian, all of them come from this machine.
        for tool in missing:
            if not is_there(tool, output):
                take_installed(tool, output, error)


def take(tool: Tool, output: Path, archive: Archive) -> None:
    """Unpacks a tool's packages and gives its programs their names."""
    with folder_beside(tool.folder(output)) as new:
        if tool.moving:
            archive.unpack_newest(tool.packages, new)
        else:
            archive.unpack(pins(tool), new)
    for inside, path in zip(tool.provides, tool.paths(output), strict=True):
        name(tool, inside, path)
    mark(tool, output)
    version = "" if tool.moving else f" {pins(tool)[0].version}"
    print(f"{tool.name}{version}: unpacked from Debian's package", flush=True)


def name(tool: Tool, inside: str, path: Path) -> None:
    folder = f"debian/{tool.name}"
    with beside(path) as new:
        if tool.libraries:
            libraries = ":".join(f"$here/{libraries}" for libraries in tool.libraries)
            new.write_text(LAUNCHER.format(folder=folder, libraries=libraries, inside=inside))
            new.chmod(0o755)
        else:
            new.symlink_to(Path("..", folder, inside))


def mark(tool: Tool, output: Path) -> None:
    with beside(tool.stamp(output)) as new:
        new.write_text(digest(tool))


def take_installed(tool: Tool, output: Path, reason: object) -> None:
    """Gives the programs of this machine their names in bin/; `reason` says why it is not Debian's package."""
    programs = found(tool, output)
    missing = ", ".join(path.name for path, program in programs.items() if program is None)
    if missing:
        fix = (
            f"install {' or '.join(tool.moving)}"
            if tool.moving
            else f"install {missing}; or, where Debian has moved on, pin anew: python3 tests/tools/debian.py"
        )
        raise BuildError(f"{tool.name}: expected Debian's package, or on PATH: {missing}\n  {reason}\n  fix: {fix}")
    for path, program in programs.items():
        with beside(path) as new:
            new.symlink_to(str(program))
        print(f"{path.name}: {program}, which is installed; {reason}", flush=True)
    mark(tool, output)


def found(tool: Tool, output: Path) -> dict[Path, Path | None]:
    """The programs of this machine that could have the tool's names in bin/."""
    return {path: next(filter(None, map(installed, (path.name, *tool.moving))), None) for path in tool.paths(output)}


def installed(program: str) -> Path | None:
    """A program of this machine; for the network plugins their folder."""
    if program == "cni":
        plugin = shutil.which("bridge", path=os.pathsep.join(CNI_FOLDERS))
        return Path(plugin).parent if plugin else None
    folders = [os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS]
    path = shutil.which(program, path=os.pathsep.join(folders))
    return Path(path) if path else None


@contextmanager
def packages_of_debian() -> Iterator[Archive]:
    """Debian's lists of today in a folder to throw away."""
    if shutil.which("apt-get") is None:
        raise BuildError("there is no apt-get here to take Debian's with")
    if platform.machine() != MACHINE:
        raise BuildError(f"Debian's are pinned for {MACHINE}, and this is {platform.machine()}")
    if (release := system()) is not None:
        raise BuildError(f"Debian's are pinned for Debian {RELEASE[1]}, and this is {release}")
    with tempfile.TemporaryDirectory(prefix="emqx-gitops-apt-") as scratch:
        archive = Archive(Path(scratch))
        archive.update()
        yield archive


def system() -> str | None:
    """The name of this system, if it is not the one that the pins are of."""
    try:
        # Values may be quoted, as a shell would have them.
        said = dict(line.split("=", 1) for line in shlex.split(OS_RELEASE.read_text()) if "=" in line)
    except OSError:
        return "a system without os-release"
    return None if (said.get("ID"), said.get("VERSION_ID")) == RELEASE else said.get("PRETTY_NAME", "another")


@dataclass(frozen=True)
class Archive:
    """Debian's packages, through apt, with everything of apt's in one folder."""

    scratch: Path

    def update(self) -> None:
        for folder in ("lists", "archives"):
            (self.scratch / folder / "partial").mkdir(parents=True)
        # Without it a list that cannot be had is only a warning.
        self._apt("-o", "APT::Update::Error-Mode=any", "update")

    def newest(self, packages: Sequence[str]) -> list[Pin]:
        said = run(["apt-cache", *self._options(), "show", "--no-all-versions", *packages], self.scratch)
        found = [dict(re.findall(r"^(Package|Version|SHA256): (\S+)$", about, re.MULTILINE)) for about in said.split("\n\n")]
        listed = {about["Package"]: Pin(about["Package"], about["Version"], about["SHA256"]) for about in found if about}
        return [listed[package] for package in packages]

    def unpack(self, pinned: Sequence[Pin], folder: Path) -> None:
        """Takes the pinned packages, proves that they are the ones, and unpacks them."""
        self._apt("download", *(f"{pin.package}={pin.version}" for pin in pinned))
        for pin in pinned:
            [package] = self.scratch.glob(f"{pin.package}_*.deb")
            got = hashlib.sha256(package.read_bytes()).hexdigest()
            if got != pin.sha256:
                raise BuildError(f"{pin.package} {pin.version}: expected SHA-256 {pin.sha256}, got {got}")
            run(["dpkg-deb", "-x", package, folder], self.scratch)

    def unpack_newest(self, packages: Sequence[str], folder: Path) -> None:
        """Takes packages and all that they depend on, as Debian's signed lists have them today, and unpacks them."""
        self._apt("-oDebug::NoLocking=1", "install", "--download-only", "--yes", "--no-install-recommends", *packages)
        for package in sorted((self.scratch / "archives").glob("*.deb")):
            if not package.match(OWN):
                run(["dpkg-deb", "-x", package, folder], self.scratch)

    def _apt(self, *words: str) -> None:
        run(["apt-get", *self._options(), *words], self.scratch)

    def _options(self) -> list[str]:
        settings = {
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Dir::Cache": self.scratch,
            "Dir::State": self.scratch,
            "Dir::State::Status": "/dev/null",
        }
        return [f"-o{key}={value}" for key, value in settings.items()]


def run(command: Sequence[str | Path], folder: Path) -> str:
    env = {**os.environ, "LC_ALL": "C"}
    result = subprocess.run(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        said = " ".join(result.stderr.split()) or f"it ended with {result.returncode}"
        raise BuildError(f"{command[0]} says: {said}")
    return result.stdout


def main() -> int:
    try:
        with packages_of_debian() as archive:
            newest = archive.newest([package for tool in TOOLS if not tool.moving for package in tool.packages])
    except BuildError as error:
        print(f"debian.py: {error}", file=sys.stderr)
        return 3
    with beside(LOCK) as new:
        new.write_text("\n".join(["# Debian 12 for x86_64: package, version, SHA-256. Written by debian.py.", *map(str, newest), ""]))
    print(LOCK.read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
